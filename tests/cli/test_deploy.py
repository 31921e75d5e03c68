"""What stands in deploy/ and docker/: manifests are valid, and every command, flag, variable, path and metric that they name exists."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from program import serving

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / ".deps/deploy/bin"
KUBERNETES = ROOT / "deploy/kubernetes"
FOREIGN = {"MPIJob", "ServiceMonitor", "Kustomization"}  # of operators and kustomize: no schemas of Kubernetes' own
TO_JSON = "import json, sys, yaml; json.dump({f: list(yaml.safe_load_all(open(f))) for f in sys.argv[1:]}, sys.stdout)"


@pytest.fixture(scope="module", autouse=True)
def tools(once):
    if not TOOLS.is_dir():
        pytest.skip("no .deps/deploy: skipped what looks at manifests")


def tool(name, *args):
    done = subprocess.run([TOOLS / name, *map(str, args)], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def manifests():
    """{path: its documents}"""
    paths = sorted(KUBERNETES.rglob("*.yaml"))
    read = subprocess.run([TOOLS / "python", "-c", TO_JSON, *paths], capture_output=True, text=True, check=True)
    return {Path(path): documents for path, documents in json.loads(read.stdout).items()}


@pytest.fixture(scope="module")
def compose():
    path = ROOT / "docker/compose.yaml"
    read = subprocess.run([TOOLS / "python", "-c", TO_JSON, path], capture_output=True, text=True, check=True)
    return json.loads(read.stdout)[str(path)][0]["services"]


def documents(manifests, kind):
    return [document for all_of in manifests.values() for document in all_of if document["kind"] == kind]


def the(manifests, kind):
    """The one of the base; an overlay's patch of it stands behind, in the order of paths."""
    return documents(manifests, kind)[0]


def pod_templates(manifests):
    """(kind, pod template) of all that starts pods; patches aren't whole."""
    for path, all_of in manifests.items():
        for document in all_of:
            spec = document.get("spec", {})
            if document["kind"] in ("Deployment", "Job") and "overlays" not in path.parts:
                yield document["kind"], spec["template"]
            if document["kind"] == "CronJob":
                yield document["kind"], spec["jobTemplate"]["spec"]["template"]
            if document["kind"] == "MPIJob":
                for replica in spec["mpiReplicaSpecs"].values():
                    yield document["kind"], replica["template"]


def containers(template):
    return [*template["spec"].get("initContainers", []), *template["spec"]["containers"]]


# Form


def test_manifests_are_what_kubernetes_takes(manifests, tmp_path):
    whole = tmp_path / "manifests.yaml"
    pods = [{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"} | template["metadata"], "spec": template["spec"]}
            for _, template in pod_templates(manifests)]
    ours = [document for path, all_of in manifests.items() for document in all_of
            if document["kind"] not in FOREIGN and not (document["kind"] == "Deployment" and "overlays" in path.parts)]
    assert len(pods) == 5 and len(ours) >= 9
    whole.write_text("\n---\n".join(map(json.dumps, [*ours, *pods])))
    tool("kubernetes-validate", "--strict", "--quiet", whole)


def test_an_overlays_patch_is_valid_where_it_is_laid_over(manifests, tmp_path):
    base, patch = documents(manifests, "Deployment")
    container = base["spec"]["template"]["spec"]["containers"][0]
    patched = patch["spec"]["template"]["spec"]["containers"][0]
    assert patch["metadata"]["name"] == base["metadata"]["name"] and patched["name"] == container["name"]
    merged = json.loads(json.dumps(base))
    merged["spec"]["template"]["spec"]["containers"][0] |= patched
    (tmp_path / "merged.yaml").write_text(json.dumps(merged))
    tool("kubernetes-validate", "--strict", "--quiet", tmp_path / "merged.yaml")


def test_kustomizations_name_every_file(manifests):
    for path, all_of in manifests.items():
        if path.name == "kustomization.yaml":
            (kustomization,) = all_of
            assert kustomization.keys() <= {"apiVersion", "kind", "namespace", "resources", "patches", "labels", "configMapGenerator", "images"}
            generated = [file for generator in kustomization["configMapGenerator"] for file in generator.get("files", [])]
            named = {*kustomization["resources"], *(patch["path"] for patch in kustomization.get("patches", [])), *generated}
            assert all((path.parent / name).exists() for name in named), named
            assert {file.name for file in path.parent.iterdir() if file.is_file()} <= named | {path.name}


def test_maps_that_are_named_are_generated(manifests):
    generated = {generator["name"] for document in documents(manifests, "Kustomization") for generator in document["configMapGenerator"]}
    named = set(re.findall(r'"configMapRef": \{"name": "([^"]+)"', json.dumps([*map(str, manifests), *manifests.values()])))
    assert named and named <= generated


def test_images_are_tagged_with_the_version(manifests):
    version = re.search(r"version: '([^']+)'", (ROOT / "meson.build").read_text())[1]
    images = {image["name"]: image["newTag"] for image in the(manifests, "Kustomization")["images"]}
    used = {container["image"] for _, template in pod_templates(manifests) for container in containers(template)}
    assert images == dict.fromkeys(used, version)


def test_compose_is_what_compose_takes():
    tool("check-jsonschema", "--builtin-schema", "vendor.compose-spec", "docker/compose.yaml")


def test_hadolint_finds_nothing():
    tool("hadolint", *ROOT.glob("docker/Dockerfile.*"))


def test_shell_is_shell():
    subprocess.run(["bash", "-n", ROOT / "deploy/slurm/train.sbatch"], check=True)


# What operators read, which no schema here tells


def test_the_mpi_job(manifests):
    job = the(manifests, "MPIJob")
    assert job["apiVersion"] == "kubeflow.org/v2beta1"
    roles = job["spec"]["mpiReplicaSpecs"]
    launcher, worker = (containers(roles[role]["template"])[0] for role in ("Launcher", "Worker"))
    ssh = (ROOT / "docker/ssh/sshd_config").read_text()
    assert f"HostKey {job['spec']['sshAuthMountPath']}/id_rsa" in ssh and f"AuthorizedKeysFile {job['spec']['sshAuthMountPath']}/authorized_keys" in ssh
    assert worker["command"] == ["/usr/sbin/sshd"] and f"Port {worker['ports'][0]['containerPort']}\n" in ssh
    assert f"Port {worker['ports'][0]['containerPort']}\n" in (ROOT / "docker/ssh/ssh_config").read_text()
    assert launcher["command"] == ["/usr/bin/mpirun"]
    ranks = int(launcher["args"][launcher["args"].index("-n") + 1])
    assert ranks == roles["Worker"]["replicas"] * job["spec"]["slotsPerWorker"]
    threads = launcher["args"][launcher["args"].index("--threads") + 1]
    assert threads == worker["resources"]["limits"]["cpu"]


def test_selectors_find_the_server(manifests):
    server = the(manifests, "Deployment")
    labels = server["spec"]["template"]["metadata"]["labels"]
    service, budget, monitor = (the(manifests, kind) for kind in ("Service", "PodDisruptionBudget", "ServiceMonitor"))
    for selector in (server["spec"]["selector"]["matchLabels"], service["spec"]["selector"], budget["spec"]["selector"]["matchLabels"]):
        assert selector.items() <= labels.items()
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert monitor["spec"]["endpoints"][0]["port"] in [port["name"] for port in service["spec"]["ports"]]
    target = the(manifests, "HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"], target["apiVersion"]) == ("Deployment", server["metadata"]["name"], server["apiVersion"])


def test_pods_may_no_more_than_they_need(manifests):
    for kind, template in pod_templates(manifests):
        pod = template["spec"]["securityContext"]
        assert pod["runAsNonRoot"] and pod["runAsUser"] == 65532 and pod["seccompProfile"] == {"type": "RuntimeDefault"}, kind
        assert template["spec"]["automountServiceAccountToken"] is False
        for container in containers(template):
            context = container["securityContext"]
            assert context["readOnlyRootFilesystem"] and context["allowPrivilegeEscalation"] is False, container["name"]
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert container["resources"]["requests"] and container["resources"]["limits"]["memory"]


# What the program knows


def lines(manifests, compose):
    """Every command line of kindred in deploy/ and docker/, from the command on."""
    for _, template in pod_templates(manifests):
        yield from (after_kindred(container) for container in containers(template) if "sshd" not in str(container.get("command")))
    for document in documents(manifests, "Deployment")[1:]:
        yield from (container["args"] for container in document["spec"]["template"]["spec"]["containers"])
    yield from (service["command"] for name, service in compose.items() if name != "mlflow")
    for file in ROOT.glob("docker/Dockerfile.*"):
        for words in re.findall(r"CMD (\[.*\])", file.read_text()):
            yield [word for word in json.loads(words) if word != "/usr/bin/kindred"]
    job = (ROOT / "deploy/slurm/train.sbatch").read_text().replace("\\\n", " ")
    yield re.search(r"^srun .* kindred (.*) \"\$@\"", job, re.MULTILINE)[1].split()


def after_kindred(container):
    args = container["args"]
    return args[args.index("/usr/bin/kindred") + 1:] if "/usr/bin/kindred" in args else args


def test_commands_and_flags_exist(kindred, manifests, compose):
    found = list(lines(manifests, compose))
    assert {line[0] for line in found} >= {"serve", "ping", "train", "preprocess", "promote", "generate"}
    for command, *rest in found:
        known = set(re.findall(r"^  (--[\w-]+)", kindred.ok("help", command), re.MULTILINE))
        assert {word for word in rest if word.startswith("--")} <= known, (command, rest)


def test_options_are_what_the_command_takes(kindred, manifests, compose):
    """By the program itself, which looks at all options before it does anything: no such one is the last of all to be said."""
    for command, *rest in lines(manifests, compose):
        values = [re.sub(r'"?\$\{?\w+(?::-([^}]*)\})?"?', lambda match: match[1] or "1", word) for word in rest]
        done = kindred.run(command, *values, "--no-such-option")
        assert done.returncode == 2 and "no-such-option" in done.stderr, (command, done.stderr)


def test_variables_are_options(kindred):
    text = "\n".join(path.read_text() for path in [*ROOT.glob("docker/Dockerfile.*"), ROOT / "docker/compose.yaml", *KUBERNETES.rglob("*.yaml")])
    named = set(re.findall(r"\bKINDRED_([A-Z_]+)=", text))
    known = {option.upper().replace("-", "_") for option in re.findall(r"^  --([\w-]+)", kindred.ok("help", "serve"), re.MULTILINE)}
    assert "HOST" in named and named <= known


def test_files_lie_where_something_is_mounted(manifests):
    for kind, template in pod_templates(manifests):
        volumes = {volume["name"] for volume in template["spec"].get("volumes", [])}
        for container in containers(template):
            mounts = {mount["mountPath"]: mount for mount in container.get("volumeMounts", [])}
            assert {mount["name"] for mount in mounts.values()} <= volumes
            if "mpirun" in str(container.get("command")):
                continue  # its ranks' files are the workers'
            for word in container.get("args", []):
                if word.startswith("/") and not word.startswith(("/usr/", "/home/kindred/.sshd")):
                    assert any(word == path or word.startswith(f"{path}/") for path in mounts), (kind, word)
    worker = containers(the(manifests, "MPIJob")["spec"]["mpiReplicaSpecs"]["Worker"]["template"])[0]
    assert {"/app/data", "/app/outputs"} <= {mount["mountPath"] for mount in worker["volumeMounts"]}


def test_claims_are_made(manifests):
    made = {document["metadata"]["name"] for document in documents(manifests, "PersistentVolumeClaim")}
    used = set(re.findall(r'"claimName": "([^"]+)"', json.dumps(list(manifests.values()))))
    assert used == made


# What a server that runs answers


@pytest.fixture(scope="module")
def answers(kindred, dataset, tmp_path_factory):
    """{path: (status, body)} of a server that has had a few requests."""
    folder = tmp_path_factory.mktemp("served")
    kindred.ok("train", "--data-dir", dataset, "--model", "popularity", "--output-dir", folder)
    options = ["--model-path", folder / "model.safetensors", "--data-dir", dataset, "--feedback", folder / "feedback.jsonl"]
    with serving(kindred, folder / "log", *options) as server:
        server.recommend(user_id="nobody", fallback="popular")
        replies = {path: server.request("GET", path) for path in ("/readyz", "/livez", "/metrics")}
        return {path: (reply.status, reply.body.decode()) for path, reply in replies.items()}


def test_probes_ask_what_is_answered(manifests, answers):
    container = containers(the(manifests, "Deployment")["spec"]["template"])[0]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        asked = container[probe]["httpGet"]
        assert ports[asked["port"]] == 8000
        assert answers[asked["path"]][0] == 200
    assert the(manifests, "ServiceMonitor")["spec"]["endpoints"][0]["path"] == "/metrics"


def test_pods_have_the_time_to_drain(manifests):
    server = the(manifests, "Deployment")["spec"]["template"]["spec"]
    args = server["containers"][0]["args"]
    grace_s = int(re.search(r"GRACE_MS = (\d+)", (ROOT / "src/cmd/serve.c").read_text())[1]) / 1000
    assert float(args[args.index("--drain") + 1]) + grace_s < server["terminationGracePeriodSeconds"]


def test_the_dashboard_shows_what_is_exported(answers):
    dashboard = json.loads((KUBERNETES / "base/dashboard.json").read_text())
    exported = {}
    for name, labels in re.findall(r"^(kindred_\w+)(?:\{(.*)\})? ", answers["/metrics"][1], re.MULTILINE):
        exported.setdefault(name, set()).update(re.findall(r'(\w+)="', labels))
    told = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    told += [annotation["expr"] for annotation in dashboard["annotations"]["list"]] + [dashboard["templating"]["list"][1]["query"]["query"]]
    for expression in told:
        names = set(re.findall(r"kindred_\w+", expression))
        assert names and names <= exported.keys(), expression
        labels = {label for group in re.findall(r"by \(([^)]*)\)", expression) for label in group.split(", ")}
        labels |= set(re.findall(r"(\w+)(?:=~|=)\"", expression))
        assert labels - {"job", "pod"} <= set().union(*(exported[name] for name in names)), expression
    shown = set(re.findall(r"kindred_\w+", json.dumps(told)))
    assert exported.keys() - shown == set(), "exported, and nowhere on the dashboard"
