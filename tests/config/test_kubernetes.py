"""The manifests are what Kubernetes takes, what the image runs, and no more than the roles need."""

import os
import re
import shlex
import subprocess
import time
from functools import cache

import kubernetes_validate
import pytest
import yaml
from django.urls import resolve

from config import paths

KUBERNETES = "1.37"
K8S = paths.ROOT / "deploy" / "k8s"
ROLES = ["migrate", "web", "worker", "beat"]
FILES = sorted(path.relative_to(K8S).as_posix() for path in K8S.rglob("*.yaml"))
# What a kustomization or a patch of one is; they are no objects of the cluster.
PARTS = {"kustomization.yaml", "overlays/example/configmap.yaml", "overlays/example/stores.yaml"}
WHOLE = [name for name in FILES if name not in PARTS and not name.endswith("kustomization.yaml")]
SECRET = re.compile(r"SECRET|TOKEN|PEPPER|DATABASE_URL|REDIS_URL|EMAIL_URL")


@cache
def objects():
    found = [each for name in WHOLE for each in yaml.safe_load_all((K8S / name).read_text())]
    return {(each["kind"], each["metadata"]["name"]): each for each in found}


def of_kind(kind):
    return [each for (found, _), each in objects().items() if found == kind]


def template(role):
    return objects()["Job" if role == "migrate" else "Deployment", role]["spec"]["template"]


def container(role):
    (only,) = template(role)["spec"]["containers"]
    return only


def containers():
    for role in ROLES:
        spec = template(role)["spec"]
        yield from spec["containers"] + spec.get("initContainers", [])


def config():
    return objects()["ConfigMap", "latchkey"]["data"]


def composed(service):
    compose = yaml.safe_load((paths.ROOT / "docker-compose.yml").read_text())
    return compose["services"][service].get("command")


def dockerfile():
    return (paths.ROOT / "Dockerfile").read_text().replace("\\\n", " ")


def image_command():
    """What the image runs when nothing else is said."""
    (stated,) = re.findall(r"^CMD \[(.+)\]", dockerfile(), re.MULTILINE)
    return [part.strip('", ') for part in shlex.split(stated)]


@pytest.mark.parametrize("name", WHOLE)
def test_kubernetes_takes_every_manifest_and_knows_every_field(name):
    for each in yaml.safe_load_all((K8S / name).read_text()):
        kubernetes_validate.validate(each, KUBERNETES, strict=True)


def test_a_misspelled_field_is_refused():
    each = yaml.safe_load((K8S / "base" / "serviceaccount.yaml").read_text())

    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(each | {"automount": False}, KUBERNETES, strict=True)


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith("kustomization.yaml")])
def test_a_kustomization_names_files_that_exist_and_leaves_none_out(name):
    folder = (K8S / name).parent
    said = yaml.safe_load((K8S / name).read_text())
    named = said["resources"] + [patch["path"] for patch in said.get("patches", [])]

    assert [one for one in named if not (folder / one).exists()] == []
    here = {path.name for path in folder.glob("*.yaml")} - {"kustomization.yaml"}
    assert here - set(named) == set()


def test_a_patch_of_the_example_changes_what_exists():
    for name in ("configmap.yaml", "stores.yaml"):
        patch = yaml.safe_load((K8S / "overlays" / "example" / name).read_text())
        assert (patch["kind"], patch["metadata"]["name"]) in objects()


@pytest.mark.parametrize("role", ["worker", "beat", "migrate"])
def test_a_role_runs_what_compose_runs(role):
    assert container(role)["command"] == composed(role)


def test_web_runs_the_image_s_own_command_on_its_own_port():
    command = image_command()
    port = int(command[command.index("--port") + 1])

    assert "command" not in container("web")
    assert [each["containerPort"] for each in container("web")["ports"]] == [port]
    assert f"EXPOSE {port}" in dockerfile()
    assert template("web")["metadata"]["annotations"]["prometheus.io/port"] == str(port)
    (into_web,) = objects()["NetworkPolicy", "into-web"]["spec"]["ingress"]
    assert into_web["ports"] == [{"protocol": "TCP", "port": port}]


def test_the_image_s_user_runs_everything():
    assert {template(role)["spec"]["securityContext"]["runAsUser"] for role in ROLES} == {10001}
    assert "--uid 10001" in dockerfile()


def test_every_variable_is_a_setting_that_is_explained():
    example = (paths.ROOT / ".env.example").read_text()
    known = set(re.findall(r"^(?:# ?)?([A-Z][A-Z0-9_]+)=", example, re.MULTILINE))
    named = {one["name"] for each in containers() for one in each["env"]} | set(config())

    assert named - known == set()


def test_secrets_are_only_referred_to():
    assert of_kind("Secret") == []
    assert [name for name in config() if SECRET.search(name)] == []
    for each in containers():
        for one in each["env"]:
            assert one["valueFrom"]["secretKeyRef"]["key"] == one["name"]


def test_a_role_gets_the_secrets_that_it_must_start_with():
    needed = {
        *("SECRET_KEY", "KEY_PEPPER", "DATABASE_URL", "REDIS_URL"),
        *("STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRETS", "EMAIL_URL"),
    }
    for role in ("web", "worker", "beat"):
        assert needed <= {one["name"] for one in container(role)["env"]}
    migrate = {one["name"] for one in container("migrate")["env"]}
    assert migrate == {"SECRET_KEY", "KEY_PEPPER", "DATABASE_URL"}


def test_every_selector_finds_the_pods_that_it_means():
    pods = {role: template(role)["metadata"]["labels"] for role in ROLES}
    for kind in ("Deployment", "PodDisruptionBudget"):
        for each in of_kind(kind):
            wanted = each["spec"]["selector"]["matchLabels"]
            found = [role for role in ROLES if wanted.items() <= pods[role].items()]
            assert found == [each["metadata"]["name"]]
    wanted = objects()["Service", "web"]["spec"]["selector"]
    assert [role for role in ROLES if wanted.items() <= pods[role].items()] == ["web"]
    for role in ("web", "worker"):
        for spread in template(role)["spec"]["topologySpreadConstraints"]:
            assert spread["labelSelector"]["matchLabels"].items() <= pods[role].items()


def test_a_pod_is_confined():
    for role in ROLES:
        spec = template(role)["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["automountServiceAccountToken"] is False
    for each in containers():
        context = each["securityContext"]
        assert context["readOnlyRootFilesystem"] is True
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert set(each["resources"]["requests"]) == {"cpu", "memory"}
        assert "memory" in each["resources"]["limits"]


def test_what_is_written_goes_to_a_folder_that_can_be_written():
    (folder,) = re.findall(r"PROMETHEUS_MULTIPROC_DIR=(\S+)", dockerfile())

    for each in containers():
        (place,) = [mount["mountPath"] for mount in each["volumeMounts"]]
        assert folder.startswith(f"{place}/")
        assert config()["ALIVE_FILE"].startswith(f"{place}/")


@pytest.mark.parametrize("probe", ["startupProbe", "readinessProbe", "livenessProbe"])
def test_a_probe_of_web_asks_an_address_that_exists(probe):
    asked = container("web")[probe]["httpGet"]

    assert resolve(asked["path"]).url_name == ("ready" if probe == "readinessProbe" else "live")
    assert asked["port"] in [port["name"] for port in container("web")["ports"]]


@pytest.mark.parametrize("role", ["worker", "beat"])
def test_a_probe_of_worker_and_beat_looks_at_the_age_of_their_file(role, tmp_path):
    command = container(role)["livenessProbe"]["exec"]["command"]
    file = tmp_path / "alive"

    def ended_with():
        here = [part.replace(config()["ALIVE_FILE"], str(file)) for part in command]
        return subprocess.run(here, stderr=subprocess.DEVNULL).returncode

    assert ended_with() != 0
    file.touch()
    assert ended_with() == 0
    os.utime(file, (0, time.time() - 3600))
    assert ended_with() != 0


def test_two_of_web_and_worker_one_beat():
    scaled = {each["metadata"]["name"]: each["spec"] for each in of_kind("HorizontalPodAutoscaler")}

    assert {name: spec["minReplicas"] for name, spec in scaled.items()} == {"web": 2, "worker": 2}
    for name, spec in scaled.items():
        assert spec["scaleTargetRef"]["name"] == name
        assert "replicas" not in objects()["Deployment", name]["spec"]
    assert objects()["Deployment", "beat"]["spec"]["replicas"] == 1


def test_rate_limits_are_shared_by_the_most_processes_there_can_be():
    command = image_command()
    workers = int(command[command.index("--workers") + 1])
    most = objects()["HorizontalPodAutoscaler", "web"]["spec"]["maxReplicas"]

    assert int(config()["WEB_PROCESSES"]) == most * workers


def test_nothing_starts_on_a_schema_that_is_behind():
    for role in ("web", "worker", "beat"):
        (waiting,) = template(role)["spec"]["initContainers"]
        assert "manage.py migrate --check" in waiting["command"][-1]


def test_a_pod_ends_after_its_work():
    from config.celery import app

    web = template("web")["spec"]
    (_, pause) = container("web")["lifecycle"]["preStop"]["exec"]["command"]
    assert web["terminationGracePeriodSeconds"] >= int(pause) + 30
    longest = app.conf.task_time_limit
    assert template("worker")["spec"]["terminationGracePeriodSeconds"] > longest


def test_nothing_is_reached_but_what_is_named():
    deny = objects()["NetworkPolicy", "deny-all"]["spec"]
    assert deny == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    ports = {
        policy["metadata"]["name"]: sorted(
            {port["port"] for rule in policy["spec"]["egress"] for port in rule["ports"]}
        )
        for policy in of_kind("NetworkPolicy")
        if "egress" in policy["spec"]
    }
    assert ports == {"to-stores": [53, 5432, 6379], "to-stripe": [443], "to-mail": [587]}


def test_https_never_goes_to_networks_of_our_own():
    (rule,) = objects()["NetworkPolicy", "to-stripe"]["spec"]["egress"]
    (public,) = [to["ipBlock"] for to in rule["to"]]

    assert {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16"} <= set(
        public["except"]
    )
