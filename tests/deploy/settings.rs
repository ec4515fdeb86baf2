//! What the processes of `deploy/compose` and `deploy/kubernetes` are set to, read as they read it
//! themselves: each setting by its name and its value, each port by all that name it.

use crate::deploy::compose_file;
use crate::{files_below, read, root};
use airline_booking::config::{Config, Role, SETTINGS};
use serde_yaml_ng::{Deserializer, Value};
use std::collections::BTreeMap;
use strum::VariantArray as _;

/// A random text, which every secret accepts.
const SECRET: &str = "7c9f0a3b5e1d48268fb2c4d6e0913a57";

/// Where pods find their secrets. Settings that name a file name one of this folder.
const SECRETS: &str = "/run/secrets/airline-booking/";

/// One process of a deployment, and its environment.
struct Process {
    name: String,
    settings: BTreeMap<String, String>,
    /// Its container, or its service of compose.
    container: Value,
    /// Its pod's annotations; of compose none.
    annotations: Value,
}

impl Process {
    fn serves(&self) -> bool {
        self.container["args"][0] == "serve" || self.container["command"][0] == "serve"
    }

    /// Its settings, as the program reads them at its start; `secret` is the file of every secret.
    fn config(&self, secret: &str) -> Result<Config, String> {
        let lookup = |name: &str| {
            let value = self.settings.get(name)?;
            Some(if name.ends_with("_FILE") { secret.to_owned() } else { value.clone() })
        };
        let read =
            if self.serves() { Config::for_serving(lookup) } else { Config::from_env(lookup) };
        read.map_err(|error| format!("{}: {error}", self.name))
    }

    /// The number of a port of its container.
    fn port(&self, name: &str) -> Option<u64> {
        let ports = self.container["ports"].as_sequence().expect("ports");
        ports.iter().find(|port| port["name"] == name)?["containerPort"].as_u64()
    }
}

/// A value as an environment has it.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        other => panic!("no text of an environment: {other:?}"),
    }
}

/// A text of compose in which each variable has its value of `.env.example`, its default, or, where it
/// must be set, a secret.
fn filled(text: &str, example: &BTreeMap<String, String>) -> String {
    let Some((before, rest)) = text.split_once("${") else { return text.to_owned() };
    let (variable, after) = rest.split_once('}').expect("a closing brace");
    let (name, otherwise) = variable.split_once(':').expect("a default, or that it must be set");
    let set = example.get(name).filter(|value| !value.is_empty());
    let value = match (set, otherwise.strip_prefix('-')) {
        (Some(value), _) => value.clone(),
        (None, Some(default)) => default.to_owned(),
        (None, None) => SECRET.to_owned(),
    };
    format!("{before}{value}{}", filled(after, example))
}

/// The variables of an example, each with its value.
fn example(path: &str) -> BTreeMap<String, String> {
    let text = read(path);
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn of_compose() -> Vec<Process> {
    let file = compose_file("deploy/compose/docker-compose.yml");
    let mut example = example("deploy/compose/.env.example");
    // Filled in as it asks: tokens by a key.
    example.insert("JWT_SECRET".to_owned(), SECRET.to_owned());
    let process = |name: &str| {
        let container = file["services"][name].clone();
        let settings = container["environment"].as_mapping().expect("settings").iter();
        let settings = settings.map(|(name, value)| (text(name), filled(&text(value), &example)));
        let name = format!("compose's {name}");
        Process { name, settings: settings.collect(), container, annotations: Value::Null }
    };
    ["app", "migrate"].map(process).into()
}

/// Every manifest.
fn manifests() -> Vec<Value> {
    let files = files_below(&root().join("deploy/kubernetes"));
    let documents = files.iter().flat_map(|file| {
        let text = std::fs::read_to_string(file).expect("UTF-8");
        let documents = Deserializer::from_str(&text);
        let documents = documents.map(|d| serde::Deserialize::deserialize(d).expect("YAML"));
        documents.collect::<Vec<Value>>()
    });
    documents
        .map(|mut document| {
            document.apply_merge().expect("merges");
            document
        })
        .collect()
}

fn of_kubernetes() -> Vec<Process> {
    let manifests = manifests();
    let find = |kind: &str, name: &Value| {
        let found = manifests.iter().find(|m| m["kind"] == kind && m["metadata"]["name"] == *name);
        found.unwrap_or_else(|| panic!("no {kind} {name:?}"))
    };
    let pods = manifests.iter().filter(|m| !m["spec"]["template"]["spec"].is_null());
    pods.map(|owner| {
        let template = &owner["spec"]["template"];
        let containers = template["spec"]["containers"].as_sequence().expect("containers");
        let [container] = &containers[..] else { panic!("one container") };
        let mut settings = BTreeMap::new();
        for source in container["envFrom"].as_sequence().into_iter().flatten() {
            let map = find("ConfigMap", &source["configMapRef"]["name"]);
            let data = map["data"].as_mapping().expect("data").iter();
            settings.extend(data.map(|(name, value)| (text(name), text(value))));
        }
        // A variable of its own overrides that of a map.
        for variable in container["env"].as_sequence().into_iter().flatten() {
            settings.insert(text(&variable["name"]), text(&variable["value"]));
        }
        Process {
            name: format!("{} {}", text(&owner["kind"]), text(&owner["metadata"]["name"])),
            settings,
            container: container.clone(),
            annotations: template["metadata"]["annotations"].clone(),
        }
    })
    .collect()
}

fn all() -> Vec<Process> {
    let all: Vec<_> = of_compose().into_iter().chain(of_kubernetes()).collect();
    assert_eq!(all.len(), 5, "two of compose, three of Kubernetes");
    all
}

/// A file that holds a secret, and the folder that it is in.
fn secret() -> (String, tempfile::TempDir) {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("secret");
    std::fs::write(&file, SECRET).expect("written");
    (file.to_str().expect("UTF-8").to_owned(), directory)
}

#[test]
fn deployments_name_only_settings_that_exist() {
    for process in all() {
        for name in process.settings.keys() {
            let is_known = SETTINGS.iter().any(|setting| setting.name == name);
            assert!(is_known, "{}: {name}", process.name);
        }
    }
}

#[test]
fn the_settings_of_every_deployed_process_start_it() {
    let (secret, _directory) = secret();
    let mut roles: Vec<Role> = Vec::new();
    for process in all() {
        let config = process.config(&secret).expect("sound");
        let kept = config.database.to_string();
        assert!(kept.contains("airline_booking on postgres"), "{}: {kept}", process.name);
        if process.serves() {
            assert!(config.auth.is_some(), "{}: callers need a token", process.name);
            assert!(config.redis.is_some() && config.kafka.is_some(), "{}", process.name);
        }
        if process.name.starts_with("Deployment") {
            roles.extend(Role::VARIANTS.iter().filter(|role| config.roles.has(**role)));
        }
    }
    roles.sort();
    assert_eq!(roles, Role::VARIANTS, "on a cluster every role is one deployment's");
}

#[test]
fn secrets_that_pods_read_from_files_are_in_their_volumes() {
    for process in of_kubernetes() {
        let mounts = process.container["volumeMounts"].as_sequence().expect("volumes");
        let is_mounted = mounts.iter().any(|m| m["mountPath"] == SECRETS.trim_end_matches('/'));
        assert!(is_mounted, "{}", process.name);
        for (name, value) in &process.settings {
            let is_secret = SETTINGS.iter().any(|setting| setting.name == format!("{name}_FILE"));
            assert!(!is_secret, "{}: {name} is a secret, and in the manifest", process.name);
            if name.ends_with("_FILE") {
                let key = value.strip_prefix(SECRETS).unwrap_or_default();
                assert!(!key.is_empty() && !key.contains('/'), "{}: {name}", process.name);
            }
        }
    }
}

#[test]
fn an_invalid_value_in_a_deployment_is_detected() {
    let (secret, _directory) = secret();
    for mut process in all() {
        for (name, wrong) in
            [("SERVER_PORT", "http"), ("METRICS_PORT", "8080"), ("DB_SSL_MODE", "full")]
        {
            let right = process.settings.insert(name.to_owned(), wrong.to_owned());
            let told = process.config(&secret).expect_err(name);
            assert!(told.contains(name), "{told}");
            match right {
                Some(right) => process.settings.insert(name.to_owned(), right),
                None => process.settings.remove(name),
            };
        }
        if process.serves() {
            process.settings.remove("AUTH");
            assert!(process.config(&secret).expect_err("no choice").contains("AUTH must be"));
        }
    }
}

#[test]
fn metrics_have_a_port_of_their_own_where_others_reach_the_service() {
    let (secret, _directory) = secret();
    let scraped: Value = serde_yaml_ng::from_str(&read("prometheus.yml")).expect("YAML");
    let replicas = &scraped["scrape_configs"][0]["dns_sd_configs"][0];
    assert_eq!(replicas["names"][0], "app");
    for process in all().into_iter().filter(Process::serves) {
        let config = process.config(&secret).expect("sound");
        let metrics = config.metrics_port.expect("a port of metrics");
        assert_ne!(metrics, config.server_port, "{}", process.name);
        if process.name.starts_with("compose") {
            assert_eq!(replicas["port"], metrics, "where Prometheus of compose asks");
            let proxied = read("deploy/Caddyfile");
            assert!(!proxied.contains(&metrics.to_string()), "the proxy leads to the metrics");
            continue;
        }
        assert_eq!(process.port("http"), Some(config.server_port.into()), "{}", process.name);
        assert_eq!(process.port("metrics"), Some(metrics.into()), "{}", process.name);
        let annotations = &process.annotations;
        assert_eq!(annotations["prometheus.io/scrape"], "true", "{}", process.name);
        assert_eq!(annotations["prometheus.io/port"], metrics.to_string(), "{}", process.name);
        assert_eq!(annotations["prometheus.io/path"], "/metrics", "{}", process.name);
    }
}

#[test]
fn on_a_cluster_prometheus_alone_reaches_the_metrics_and_nothing_else() {
    let manifests = manifests();
    let policies = manifests.iter().filter(|manifest| manifest["kind"] == "NetworkPolicy");
    let mut reached = Vec::new();
    for rule in policies.filter_map(|policy| policy["spec"]["ingress"].as_sequence()).flatten() {
        for port in rule["ports"].as_sequence().expect("a rule names its ports") {
            for from in rule["from"].as_sequence().expect("a rule names who comes") {
                let labels = &from["namespaceSelector"]["matchLabels"];
                let namespace = text(&labels["kubernetes.io/metadata.name"]);
                reached.push((namespace, text(&port["port"])));
            }
        }
    }
    reached.sort();
    let expected = [("ingress-nginx", "http"), ("monitoring", "metrics")];
    assert_eq!(reached, expected.map(|(from, port)| (from.to_owned(), port.to_owned())));
    for service in manifests.iter().filter(|manifest| manifest["kind"] == "Service") {
        for port in service["spec"]["ports"].as_sequence().expect("ports") {
            assert_ne!(port["targetPort"], "metrics", "a Service leads to the metrics");
        }
    }
}

#[test]
fn the_example_settings_start_a_local_service_and_leave_auth_unset() {
    let mut settings = example(".env.example");
    let config = |settings: &BTreeMap<String, String>| {
        Config::for_serving(|name| settings.get(name).cloned()).map_err(|error| error.to_string())
    };
    assert!(config(&settings).is_ok());
    settings.insert("SERVER_HOST".to_owned(), "0.0.0.0".to_owned());
    let told = config(&settings).expect_err("nobody has chosen AUTH");
    assert!(told.contains("AUTH must be set"), "{told}");
    settings.insert("AUTH".to_owned(), "off".to_owned());
    assert!(config(&settings).is_ok());
}
