//! The files that deploy the service: what their command lines name, and what containers may do.

use crate::{files_below, read, root};
use serde_yaml_ng::Value;
use std::collections::BTreeSet;

/// What the service works with, for a service from a shell; and all of it, closed.
const COMPOSE_FILES: [&str; 2] = ["docker-compose.yml", "deploy/compose/docker-compose.yml"];

pub fn compose_file(path: &str) -> Value {
    let mut file: Value = serde_yaml_ng::from_str(&read(path)).expect("YAML");
    // The second time for what was merged before it had merged itself.
    for _ in 0..2 {
        file.apply_merge().expect("merges of mappings");
    }
    file
}

fn services(file: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let services = file["services"].as_mapping().expect("services");
    services.iter().map(|(name, service)| (name.as_str().expect("a name"), service))
}

fn texts(list: &Value) -> Vec<&str> {
    list.as_sequence().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// Whether an image is named by an exact version, or by its digest.
fn is_exact(image: &str) -> bool {
    let tag = image.rsplit_once(':').map_or("", |(_, tag)| tag);
    image.contains("@sha256:") || tag.contains('.') && tag.contains(char::is_numeric)
}

#[test]
fn the_compose_file_has_each_service_that_documents_start_by_name() {
    let file = compose_file("docker-compose.yml");
    let names: BTreeSet<_> = services(&file).map(|(name, _)| name).collect();
    let documents = ["README.md", "docs/running.md", "docs/operations.md"].map(read).join("\n");
    let lines = documents.lines().filter_map(|line| line.strip_prefix("docker-compose up -d"));
    let named: Vec<_> = lines.flat_map(str::split_whitespace).collect();
    assert!(named.len() > 10, "{named:?}");
    for name in named {
        assert!(names.contains(name), "{name}");
    }
    // The specification's command lines.
    for name in
        ["postgres", "redis", "zookeeper", "kafka", "otel-collector", "jaeger", "prometheus"]
    {
        assert!(file["services"][name]["profiles"].is_null(), "{name} starts by its name alone");
    }
    // It is there for its name.
    assert_eq!(file["services"]["zookeeper"]["command"][0], "true");
}

#[test]
fn images_have_exact_tags_and_services_have_health_checks_and_volumes() {
    for path in COMPOSE_FILES {
        let file = compose_file(path);
        let names: BTreeSet<_> = services(&file).map(|(name, _)| name).collect();
        let folder = root().join(path).parent().expect("a folder").to_owned();
        for (name, service) in services(&file) {
            let image = service["image"].as_str().expect("an image");
            let is_ours = !service["build"].is_null();
            assert!(is_ours || is_exact(image), "{path}: {name}: {image}");
            // One has nothing to check with; the others run to their end.
            let is_checked = !service["healthcheck"]["test"].is_null();
            let is_exempt = ["otel-collector", "zookeeper", "roles", "migrate"].contains(&name);
            assert!(is_checked != is_exempt, "{path}: {name} and its health check");
            for (other, how) in service["depends_on"].as_mapping().into_iter().flatten() {
                let other = other.as_str().expect("a name");
                let wanted = match other {
                    "roles" | "migrate" => "service_completed_successfully",
                    _ => "service_healthy",
                };
                assert!(names.contains(other), "{path}: {name} waits for {other}");
                assert_eq!(how["condition"], wanted, "{path}: {name} waits for {other}");
            }
            for volume in texts(&service["volumes"]) {
                let (from, _) = volume.split_once(':').expect("a volume");
                let is_there = if from.starts_with('.') {
                    folder.join(from).exists()
                } else {
                    file["volumes"].get(from).is_some()
                };
                assert!(is_there, "{path}: {name}: {from}");
            }
        }
        for kept in ["postgres", "kafka", "prometheus"] {
            let volumes = texts(&file["services"][kept]["volumes"]);
            assert!(volumes.iter().any(|volume| !volume.starts_with('.')), "{path}: {kept}");
        }
    }
    let dockerfile = read("Dockerfile");
    let images = dockerfile.lines().filter_map(|line| {
        let line =
            line.strip_prefix("# syntax=").or_else(|| line.split_once("_IMAGE=").map(|l| l.1));
        line.filter(|image| !image.starts_with("debian:12.12-slim@"))
    });
    let images: Vec<_> = images.collect();
    assert_eq!(images.len(), 3, "{images:?}");
    assert!(images.iter().all(|image| is_exact(image)), "{images:?}");
    for line in dockerfile.lines().filter_map(|line| line.strip_prefix("FROM ")) {
        assert!(!line.contains(':'), "an image that no argument names: {line}");
    }
}

#[test]
fn containers_have_no_capabilities_a_read_only_image_and_resource_limits() {
    for path in COMPOSE_FILES {
        for (name, service) in services(&compose_file(path)) {
            let at = format!("{path}: {name}");
            assert_eq!(service["read_only"], true, "{at}");
            assert_eq!(texts(&service["cap_drop"]), ["ALL"], "{at}");
            assert_eq!(texts(&service["security_opt"]), ["no-new-privileges:true"], "{at}");
            assert!(service["pids_limit"].is_number(), "{at}");
            assert!(service["mem_limit"].is_string(), "{at}");
            assert!(service["privileged"].is_null(), "{at}");
            // By the file of its program, which cannot be started without.
            let added = if name == "proxy" { vec!["NET_BIND_SERVICE"] } else { vec![] };
            assert_eq!(texts(&service["cap_add"]), added, "{at}");
            for port in texts(&service["ports"]) {
                let is_local = port.starts_with("127.0.0.1:");
                assert!(is_local || port.starts_with("${API_ADDRESS:-127.0.0.1}:"), "{at}: {port}");
            }
        }
    }
}

#[test]
fn only_the_proxy_has_a_port_and_data_services_reach_no_outside_network() {
    let file = compose_file("deploy/compose/docker-compose.yml");
    for (name, service) in services(&file) {
        let networks = texts(&service["networks"]);
        assert!(!networks.is_empty(), "{name} is on the default network");
        let is_open = networks.iter().any(|network| file["networks"][network]["internal"] != true);
        assert_eq!(is_open, ["proxy", "app", "grafana"].contains(&name), "{name}: {networks:?}");
        let may_publish = name == "proxy" || name == "grafana";
        assert_eq!(!service["ports"].is_null(), may_publish, "{name}");
        assert!(name == "proxy" || service["ports"].is_null() || !service["profiles"].is_null());
    }
    // Neither serves as the superuser, whose password only one of them knows.
    let user = |name: &str| file["services"][name]["environment"]["DB_USER"].clone();
    assert_eq!(
        (user("migrate"), user("app")),
        ("airline_migrate".into(), "airline_service".into())
    );
    for (name, service) in services(&file) {
        let environment = serde_yaml_ng::to_string(&service["environment"]).expect("YAML");
        let knows = environment.contains("${POSTGRES_PASSWORD");
        assert_eq!(knows, ["postgres", "roles"].contains(&name), "{name}");
    }
    let text = read("deploy/compose/docker-compose.yml");
    for line in text.lines().filter(|line| line.contains("PASSWORD") && line.contains(": ")) {
        assert!(line.trim_start().starts_with('#') || line.contains(":?set it in"), "{line}");
    }
}

#[test]
fn the_operators_guide_has_a_line_for_each_service_and_each_manifest() {
    let guide = read("docs/operations.md");
    for (name, _) in services(&compose_file("deploy/compose/docker-compose.yml")) {
        assert!(guide.contains(&format!("`{name}`")), "{name}");
    }
    for file in files_below(&root().join("deploy/kubernetes")) {
        let name = file.file_name().and_then(|name| name.to_str()).expect("UTF-8");
        assert!(guide.contains(&format!("`{name}`")), "{name}");
    }
}
