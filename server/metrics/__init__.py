"""What is counted and measured, by whom, and how it is told: to Prometheus and to the log."""
