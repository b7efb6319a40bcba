"""Contract: workflows, sections 1 and 2: registering, describing, listing and taking away."""

from __future__ import annotations

import json

import pytest

TWO = """
models:
  m1: {url: upper.mar}
  m2: {url: echo.mar}
dag:
  m1: [m2]
"""
SETTINGS = """
models:
  before: {url: upper.mar}
  min-workers: 1
  max-workers: 2
  batch-size: 3
  max-batch-delay: 70
  after: {url: upper.mar}
  own:
    url: upper.mar
    max-workers: 1
    batch-size: 4
    max-batch-delay: 5
dag:
  before: [after]
  after: [own]
  own: [function]
"""
FUNCTION = """
def function(data, context):
    return [bytes(row["body"]) for row in data] if data else None
"""


def test_nodes_are_models_of_the_workflows_name(flows):
    name = flows.serve(TWO)
    assert {f"{name}__m1", f"{name}__m2"} <= set(flows.models())
    answer = flows.contract.post(f"/predictions/{name}__m1", b"abc")
    assert (answer.status, answer.body) == (200, b"ABC")


def test_functions_are_hidden_and_can_be_called(flows):
    name = flows.serve("models: {}\ndag: {function: []}\n", FUNCTION)
    assert f"{name}__function" not in flows.models()
    assert flows.contract.post(f"/predictions/{name}__function", b"abc").body == b"abc"
    [described] = flows.manage("GET", f"/models/{name}__function").json()
    assert [described[key] for key in ("minWorkers", "maxWorkers", "batchSize", "maxBatchDelay")] == [1, 1, 1, 0]


def test_settings_hold_for_the_models_after_them(flows):
    name = flows.serve(SETTINGS, FUNCTION)

    def of(node):
        [described] = flows.manage("GET", f"/models/{name}__{node}").json()
        assert len(described["workers"]) == described["minWorkers"]
        return [described[key] for key in ("minWorkers", "maxWorkers", "batchSize", "maxBatchDelay")]

    assert of("before") == [1, 1, 1, 50]
    assert of("after") == [2, 2, 3, 70]  # as many workers as there may be
    assert of("own") == [1, 1, 4, 5]
    assert of("function") == [1, 1, 1, 0]


def test_a_workflow_is_described(flows):
    name = flows.serve(SETTINGS, FUNCTION)
    answer = flows.manage("GET", f"/workflows/{name}")
    assert (answer.status, answer.json()) == (
        200,
        [
            {
                "workflowName": name, "workflowUrl": f"{name}.war", "minWorkers": 1, "maxWorkers": 2, "batchSize": 3,
                "maxBatchDelay": 70, "workflowDag": "{before=[after], after=[own], own=[function]}",
            }
        ],
    )  # fmt: skip


def test_workflows_are_listed_by_pages(flows):
    for _ in range(2):
        flows.serve(TWO)
    every = flows.manage("GET", "/workflows").json()["workflows"]
    names = [each["workflowName"] for each in every]
    assert names == sorted(names) and every[0] == {"workflowName": names[0], "workflowUrl": f"{names[0]}.war"}
    page = flows.manage("GET", "/workflows?limit=1&next_page_token=1").json()
    assert (page["nextPageToken"], page["workflows"]) == ("2", every[1:2])


def test_a_json_body_registers_too(flows):
    name = flows.pack(TWO)
    body = json.dumps({"url": f"{name}.war", "workflow_name": "renamed"})
    answer = flows.contract.request("POST", "/workflows", body, {"Content-Type": "application/json"}, "management")
    assert answer.json() == {"status": "Workflow renamed has been registered and scaled successfully."}
    assert flows.manage("DELETE", "/workflows/renamed").status == 200


def test_a_workflow_goes_with_its_models(flows):
    name = flows.serve(TWO)
    gone = flows.manage("DELETE", f"/workflows/{name}")
    assert (gone.status, gone.json()) == (200, {"status": f'Workflow "{name}" unregistered'})
    assert not [model for model in flows.models() if model.startswith(f"{name}__")]
    assert flows.ask(name).status == 404
    assert flows.register(name).status == 200  # and may come again
    assert flows.manage("DELETE", f"/models/{name}__m1").status == 200
    assert flows.manage("DELETE", f"/workflows/{name}").status == 200  # one of its models having gone before


@pytest.mark.parametrize(
    ("parameters", "status", "kind", "message"),
    [
        ("", 400, "BadRequestException", "Parameter url is required."),
        ("url=", 404, "WorkflowNotFoundException", "empty url"),
        ("url=no.war", 404, "WorkflowNotFoundException", "Workflow not found in workflow store: no.war"),
        ("url=../a.war", 404, "WorkflowNotFoundException", "Relative path is not allowed in url: ../a.war"),
        ("url=upper.mar", 400, "InvalidWorkflowException",
         "upper.mar: there is no WAR-INF/MANIFEST.json: this is no archive of a workflow"),
        ("url=http://h/a.war", 404, "WorkflowNotFoundException",
         "Given URL http://h/a.war does not match any allowed URL(s)"),
        ("url=a.war&s3_sse_kms=true", 400, "BadRequestException",
         "s3_sse_kms is not served: give a presigned URL, which needs no credentials here."),
    ],
)  # fmt: skip
def test_what_cannot_be_registered_says_why(flows, parameters, status, kind, message):
    answer = flows.manage("POST", f"/workflows?{parameters}")
    assert answer.error == (status, kind, message)


@pytest.mark.parametrize("name", ["a/b", "a" * 260])
def test_a_name_that_no_model_can_have_is_refused(flows, name):
    status, kind, message = flows.register(flows.pack(TWO), workflow_name=name).error
    assert (status, kind) == (400, "BadRequestException")
    assert message.endswith("__m1' cannot be the name of a model: no / and no control characters, at most 256")


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_a_workflow_that_is_not_there(flows, method):
    wanted = (404, "WorkflowNotFoundException", "Workflow not found: nope")
    assert flows.manage(method, "/workflows/nope").error == wanted


def test_a_workflow_comes_once(flows):
    name = flows.serve(TWO)
    wanted = (409, "ConflictStatusException", f"Workflow {name} is already registered.")
    assert flows.register(name).error == wanted


def test_a_model_that_has_a_nodes_name_stays(flows):
    name = flows.pack(TWO)
    query = f"/models?url=upper.mar&model_name={name}__m1"
    assert flows.manage("POST", query).status == 200
    refused = flows.register(name).error
    assert refused == (409, "ConflictStatusException", f"Model {name}__m1 is there already; node m1 needs its name")
    assert flows.contract.post(f"/predictions/{name}__m1", b"abc").body == b"ABC"


@pytest.mark.parametrize(
    ("url", "why"),
    [("none.mar", "Model not found at: none.mar"), ("broken.mar", "RuntimeError: as ordered")],
)
def test_a_node_that_fails_takes_all_back(flows, url, why):
    flows.model("broken", 'raise RuntimeError("as ordered")\n')
    name = flows.pack(TWO.replace("echo.mar", url))
    status, kind, message = flows.register(name).error
    assert (status, kind) == (500, "WorkflowException")
    assert message.startswith(f"Workflow {name} has failed to register. Failures: [Workflow Node {name}__m2 failed")
    assert why in message
    assert not [model for model in flows.models() if model.startswith(f"{name}__")]
    assert flows.manage("GET", f"/workflows/{name}").status == 404
    assert not [path for path in flows.contract.server.temp.rglob("workflow.yaml") if path.parent.name == name]


BAD_DAGS = [
    ("models: {}\ndag:\n  a: [c]\n  b: [c]\n",
     "DAG should have only one start node: workflow.yaml line 4: there are a, b"),
    ("models: {}\ndag:\n  a: [b]\n  b: [b]\n", "Self loop exception: workflow.yaml line 4: b leads to itself"),
    ("models: {}\ndag:\n  a: [b]\n  b: [a]\n", "loop exception: workflow.yaml line 3: a leads to b, and b to a"),
    ("models: {}\ndag:\n  s: [a]\n  a: [b]\n  b: [c]\n  c: [a]\n",
     "Not a valid DAG: workflow.yaml line 4: a → b → c → a is a circle"),
    ("models: {}\ndag: {}\n", "DAG should have only one start node: workflow.yaml: the dag has no nodes"),
    ("models: {}\ndag:\n  a: [c]\n  c: [nope]\n",
     "workflow.yaml line 4: node nope is none of the models, and not in the handler file either"),
    ("models: {}\ndag:\n  a: [c]\n  a: [b]\n", "workflow.yaml line 3: node a stands in the dag twice"),
    ("models: {}\ndag:\n  a: {b: c}\n", "workflow.yaml line 3: a: expected a list of nodes, met {'b': 'c'}"),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "message"), BAD_DAGS)
def test_a_graph_that_is_none_is_refused_with_the_line(flows, spec, message):
    functions = "def a(data, context): ...\ndef b(data, context): ...\ndef c(data, context): ...\ndef s(d, c): ...\n"
    assert flows.register(flows.pack(spec, functions)).error == (400, "InvalidDAGException", message)


def test_a_near_name_is_suggested_and_a_missing_handler_file_told(flows):
    near = flows.pack("models: {}\ndag: {functoin: []}\n", FUNCTION)
    assert flows.register(near).error[2].endswith("in the handler file either. Did you mean function?")
    none = flows.pack("models: {}\ndag:\n  pre: []\n")
    message = "workflow.yaml line 3: node pre is none of the models, and there is no handler file"
    assert flows.register(none).error == (400, "InvalidDAGException", message)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("dag: {a: []}\n", "workflow.yaml: models: expected a mapping, met None"),
        ("models: {}\ndag: [a]\n", "workflow.yaml line 2: dag: expected a mapping, met ['a']"),
        ("models:\n  m: {}\ndag: {m: []}\n", "workflow.yaml line 2: model m has no url"),
        ("models:\n  m:\n    url: upper.mar\n    batch_size: 2\ndag: {m: []}\n",
         "workflow.yaml line 4: model m has no setting 'batch_size'; there are url, min-workers, max-workers, "
         "batch-size, max-batch-delay, retry-attempts, timeout-ms"),
        ("models:\n  batch-size: none\n  m: {url: upper.mar}\ndag: {m: []}\n",
         "workflow.yaml line 2: batch-size: expected a whole number of at least 1, met 'none'"),
        ("models:\n  timeout_ms: 4\n  m: {url: upper.mar}\ndag: {m: []}\n",
         "workflow.yaml line 2: timeout_ms is neither a setting nor a model, which is a mapping. "
         "Did you mean timeout-ms?"),
        ("models: {}\ndag: {\n", "workflow.yaml is no readable YAML: line 3: "
         "expected the node content, but found '<stream end>'"),
        ("models: !!python/object/apply:os.system ['true']\n",
         "workflow.yaml is no readable YAML: line 1: could not determine a constructor for the tag "
         "'tag:yaml.org,2002:python/object/apply:os.system'"),
    ],
)  # fmt: skip
def test_a_specification_that_cannot_be_read_is_refused_with_the_line(flows, spec, message):
    assert flows.register(flows.pack(spec, FUNCTION)).error == (400, "InvalidWorkflowException", message)


def test_registering_needs_the_model_api(closed, deviates):
    for method, path in (("POST", "/workflows?url=a.war"), ("DELETE", "/workflows/a")):
        status, kind, _ = closed(method, path).error
        assert (status, kind) == (405, "MethodNotAllowedException")
    assert closed("GET", "/workflows").json() == {"workflows": []}
    deviates("registering and unregistering workflows")


def test_workflows_have_a_store_of_their_own(flows, tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    (folder / "elsewhere").mkdir()
    server = type(flows.contract.server)(folder)
    with server.config.open("a") as file:
        file.write(f"workflow_store={folder / 'elsewhere'}\n")
    try:
        server.start()
        own = type(flows)(type(flows.contract)(server, server.addresses))
        own.model("upper", "def handle(data, context):\n    return data and [b'!' for row in data]\n")
        name = own.pack("models:\n  m: {url: upper.mar}\ndag: {m: []}\n", into=folder / "elsewhere")
        assert own.register(name).status == 200
        assert own.ask(name).body == b"!"
    finally:
        server.run("numserve", "--stop")
