"""Where waiting jobs and idle workers meet: queues, batches, and what their sizes cost."""
