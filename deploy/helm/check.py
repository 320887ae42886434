"""The chart, rendered for many values and judged. Called by `check` beside it, which installs what this needs."""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import kubernetes_validate
import yaml

HERE = pathlib.Path(__file__).parent
CHART = HERE / "shardstream"
ALERTS = HERE.parent / "prometheus" / "alerts.yaml"
PLAIN = HERE.parent / "kubernetes" / "shardstream.yaml"
# The oldest that the chart takes, and the newest whose schemas there are.
KUBERNETES = ("1.30", "1.37")
# The operator's own kinds are in no schema of Kubernetes.
OPERATORS = ("ServiceMonitor", "PrometheusRule")
# Settings that the chart makes from values of its own, which nobody can set twice, and those that its ports and probes rule
# out.
OWN = {
    "listen", "admin-listen", "allow-plaintext", "allow-plaintext-admin", "allow-plaintext-tokens", "allow-anonymous",
    "drain-timeout", "log", "log-format", "tls-cert", "tls-key", "tls-client-ca", "tls-client-auth", "tls-min-version", "tokens",
    "policy", "admin-tls", "unix-mode", "aws-endpoint-url", "aws-region", "aws-fake-credentials",
}  # fmt: skip
# What must be refused before anything is made, and a word of what is said.
REFUSED = {
    "nothing said of TLS": ({}, "choose how the gRPC port is protected"),
    "both": ({"allowPlaintext": True, "tls": {"secretName": "a"}}, "contradict"),
    "client CA without TLS": ({"allowPlaintext": True, "tls": {"clientCA": {"secretName": "a"}}}, "wants tls.secretName"),
    "tokens in the clear": ({"allowPlaintext": True, "tokens": {"secretName": "a"}}, "whoever listens"),
    "tokens without rules": ({"tls": {"secretName": "a"}, "tokens": {"secretName": "a"}}, "nobody may do anything"),
    "nobody asked": ({"tls": {"secretName": "a"}}, "choose who may call"),
    "nobody that has to show a certificate": (
        {"tls": {"secretName": "a", "clientCA": {"secretName": "b"}, "clientAuth": "requested"}},
        "choose who may call",
    ),
    "two policies": ({"allowPlaintext": True, "policy": {"rules": "x", "configMapName": "a"}}, "contradict"),
    "nobody to scrape": ({"allowPlaintext": True, "serviceMonitor": {"enabled": True}}, "adminFrom"),
    "a value that is none": ({"allowPlaintext": True, "replicas": 3}, "replicas"),
    "a setting that is none": ({"allowPlaintext": True, "config": {"max-stream": 3}}, "max-stream"),
    "a setting of the chart's own": ({"allowPlaintext": True, "config": {"listen": "0.0.0.0:1"}}, "listen"),
    "a number as text": ({"allowPlaintext": True, "config": {"max-streams": "many"}}, "max-streams"),
    "a length without a unit": ({"allowPlaintext": True, "config": {"stall-timeout": 60}}, "stall-timeout"),
    "a replica count as text": ({"allowPlaintext": True, "replicaCount": "two"}, "replicaCount"),
    "a digest that is none": ({"allowPlaintext": True, "image": {"digest": "latest"}}, "digest"),
    "an old TLS": ({"tls": {"secretName": "a", "minVersion": "1.0"}}, "minVersion"),
}


def run(*command: str | pathlib.Path, **options) -> subprocess.CompletedProcess:
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


def helm(*command: str | pathlib.Path) -> subprocess.CompletedProcess:
    return run(os.environ["HELM"], *command)


def template(values: pathlib.Path, version: str = KUBERNETES[-1], release: str = "streams") -> str:
    done = helm("template", release, CHART, "--namespace", "data", "--kube-version", version, "--values", values)
    if done.returncode:
        raise AssertionError(done.stderr.strip())
    return done.stdout


def settings_schema() -> dict:
    """The settings of `shardstream serve`, by what its help calls their values."""
    done = run(os.environ["SHARDSTREAM"], "serve", "--help")
    kinds = {
        "N": {"type": "integer", "minimum": 0},
        "BOOL": {"type": "boolean"},
        "BYTES": {"type": ["integer", "string"], "pattern": "^[0-9]+ ?([KMG]i?)?B?$", "minimum": 0},
        "DURATION": {"type": "string", "pattern": "[a-z]"},
    }
    flags = re.findall(r"^ +(?:-\w, )?--([a-z-]+)(?:\[=| )?(?:<([A-Z]+)[^>]*>)?", done.stdout, re.MULTILINE)
    if len(flags) < 50:
        raise AssertionError(f"the help of serve has {len(flags)} flags only: {done.stderr}")
    return {key: kinds.get(kind, {"type": "string"}) for key, kind in flags if key not in OWN | {"config", "help"}}


def judge_pod(objects: list[dict], values: dict) -> None:
    """What no schema says: the restricted standard for pods, names that meet, time enough to drain."""
    by_kind: dict[str, list[dict]] = {}
    for found in objects:
        by_kind.setdefault(found["kind"], []).append(found)
    (deployment,) = by_kind["Deployment"]
    template_of = deployment["spec"]["template"]
    pod, labels = template_of["spec"], template_of["metadata"]["labels"]
    (container,) = pod["containers"]
    context = container["securityContext"]
    assert pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["runAsUser"] == 65532
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert context["allowPrivilegeEscalation"] is False and context["readOnlyRootFilesystem"]
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert not pod["automountServiceAccountToken"] and not pod["enableServiceLinks"]
    drain = values.get("drainSeconds", 10)
    assert pod["terminationGracePeriodSeconds"] >= 5 + 2 * drain + 5
    mounts = {mount["name"] for mount in container["volumeMounts"]}
    assert mounts == {volume["name"] for volume in pod["volumes"]}, "every volume is mounted"
    assert not any("subPath" in mount for mount in container["volumeMounts"]), "a subPath is never renewed"
    assert {"memory"} <= container["resources"]["limits"].keys()

    ports = {port["name"] for port in container["ports"]}
    probes = [container[name]["httpGet"]["port"] for name in ("startupProbe", "livenessProbe", "readinessProbe")]
    assert set(probes) <= ports
    services = by_kind["Service"]
    for service in services:
        assert service["spec"]["selector"].items() <= labels.items()
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports
    selectors = [deployment["spec"]["selector"]["matchLabels"]]
    selectors += [budget["spec"]["selector"]["matchLabels"] for budget in by_kind.get("PodDisruptionBudget", [])]
    for policy in by_kind.get("NetworkPolicy", []):
        selectors.append(policy["spec"]["podSelector"]["matchLabels"])
        for rule in policy["spec"].get("ingress") or []:
            assert rule["from"], "an empty from lets everybody in"
    assert all(selector.items() <= labels.items() for selector in selectors)
    for monitor in by_kind.get("ServiceMonitor", []):
        wanted = monitor["spec"]["selector"]["matchLabels"].items()
        met = [service for service in services if wanted <= service["metadata"]["labels"].items()]
        assert len(met) == 1 and [port["name"] for port in met[0]["spec"]["ports"]] == ["admin"]
    for rule in by_kind.get("PrometheusRule", []):
        assert rule["spec"] == yaml.safe_load(ALERTS.read_text()), "the alerts are not changed by templates"
    names = [(found["kind"], found["metadata"]["name"]) for found in objects]
    assert len(names) == len(set(names)), "no name twice"


def judge_settings(objects: list[dict], folder: pathlib.Path) -> None:
    """The server itself reads the settings, and refuses what running it would refuse."""
    (found,) = [o for o in objects if o["kind"] == "ConfigMap" and "config.toml" in o["data"]]
    config = folder / "config.toml"
    config.write_text(found["data"]["config.toml"])
    done = run(os.environ["SHARDSTREAM"], "--config", config, "config", "print", "serve", env={})
    assert done.returncode == 0, f"the server refuses its settings: {done.stderr}{found['data']['config.toml']}"
    keys = re.findall(r"^([a-z-]+) = ", found["data"]["config.toml"], re.MULTILINE)
    in_force = re.findall(r"^([a-z-]+) = .*# file ", done.stdout, re.MULTILINE)
    assert sorted(keys) == sorted(in_force), f"not all of {keys} are in force: {in_force}"


def judge(values: pathlib.Path, folder: pathlib.Path) -> None:
    for version in KUBERNETES:
        objects = [found for found in yaml.safe_load_all(template(values, version)) if found]
        for found in objects:
            if found["kind"] not in OPERATORS:
                kubernetes_validate.validate(found, version, strict=True)
    judge_pod(objects, yaml.safe_load(values.read_text()) or {})
    judge_settings(objects, folder)
    lint = helm("lint", "--strict", "--kube-version", KUBERNETES[-1], CHART, "--values", values)
    assert lint.returncode == 0, lint.stdout + lint.stderr


def refuse(name: str, values: dict, word: str, folder: pathlib.Path) -> None:
    path = folder / "values.yaml"
    path.write_text(yaml.safe_dump(values))
    try:
        template(path)
    except AssertionError as refusal:
        assert word in str(refusal), f"{name}: {refusal}"
    else:
        raise AssertionError(f"{name}: not refused")


def made(path: pathlib.Path, text: str, write: bool) -> None:
    """What is made from something else is as it would be made now."""
    if write:
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert path.exists() and path.read_text() == text, f"{path} is out of date: deploy/helm/check --write"


def make(write: bool) -> None:
    schema = CHART / "values.schema.json"
    values = json.loads(schema.read_text())
    values["properties"]["config"]["properties"] = settings_schema()
    made(schema, json.dumps(values, indent=2) + "\n", write)
    # A chart holds what it needs: nothing beside its folder is packed with it.
    made(CHART / "files" / "alerts.yaml", ALERTS.read_text(), write)
    heading = (
        "# For clusters without Helm: what the chart makes of ci/tls.yaml. Written by `deploy/helm/check --write`, and held to\n"
        "# the chart by `.ci/run`. TLS is that of the Secret shardstream-tls, callers those of shardstream-tokens; the chart has the rest.\n"
    )
    manifests = template(CHART / "ci" / "tls.yaml", release="shardstream")
    made(PLAIN, heading + re.sub(r"^ +(helm.sh/chart|app.kubernetes.io/managed-by): .*\n", "", manifests, flags=re.M), write)


def main() -> None:
    make(write=sys.argv[1:] == ["--write"])
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    version = re.search(r'^version = "(.*)"', pathlib.Path("Cargo.toml").read_text(), re.MULTILINE)
    assert version and chart["appVersion"] == version[1], "Chart.yaml names another server than Cargo.toml"
    matrix = sorted((CHART / "ci").glob("*.yaml"))
    assert len(matrix) >= 5
    with tempfile.TemporaryDirectory() as folder:
        for values in matrix:
            try:
                judge(values, pathlib.Path(folder))
            except Exception as error:
                raise SystemExit(f"{values}: {type(error).__name__}: {error}") from error
        for name, (values, word) in REFUSED.items():
            refuse(name, values, word, pathlib.Path(folder))
        alone = helm("lint", "--strict", "--kube-version", KUBERNETES[-1], CHART)
        assert alone.returncode == 0, alone.stdout + alone.stderr
    tools = pathlib.Path(sys.executable).parent
    for command in (
        [tools / "check-jsonschema", "--check-metaschema", CHART / "values.schema.json"],
        [tools / "yamllint", "--strict", "--config-file", HERE / "yamllint.yaml", CHART / "Chart.yaml"]
        + [CHART / "values.yaml", *matrix, PLAIN],
    ):
        done = run(*command)
        assert done.returncode == 0, done.stdout + done.stderr
    print(f"{len(matrix)} sets of values render for Kubernetes {' and '.join(KUBERNETES)}, {len(REFUSED)} are refused")


main()
