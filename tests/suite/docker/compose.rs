//! `compose.yaml`: images, ports, mounts, secrets, health and who waits for whom.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{SECRETS, entries, path, read, service_config, texts, yaml};

fn compose() -> Value {
    yaml("docker/compose.yaml")
}

/// Host and container port of what a service publishes.
fn published(service: &Value) -> Vec<(u16, u16)> {
    let port = |text: &str| text.parse().expect("a port");
    let ports = texts(&service["ports"]).into_iter().map(|text| {
        let rest = text.strip_prefix("127.0.0.1:").unwrap_or_else(|| panic!("public: {text}"));
        let (host, container) = rest.split_once(':').expect("two ports");
        (port(host), port(container))
    });
    ports.collect()
}

#[test]
fn every_image_is_pinned_and_documented() {
    let document = read("docs/production.md");
    let release = format!(":{}", env!("CARGO_PKG_VERSION"));
    for (name, service) in entries(&compose()["services"]) {
        let image = service["image"].as_str().unwrap_or_else(|| panic!("{name}: no image"));
        let (_, tag) = image.rsplit_once(':').unwrap_or_else(|| panic!("{image}: no tag"));
        assert!(tag.contains('.') && tag.contains(char::is_numeric), "{image} is not pinned");
        assert!(document.contains(image), "docs/production.md doesn't name {image}");
        let ours = !service["build"].is_null();
        assert!(!ours || image.ends_with(&release), "{image} is not this release");
    }
}

#[test]
fn published_ports_are_the_configured_ones() {
    let (config, _secrets) = service_config();
    let compose = compose();
    let document = read("docs/production.md");
    let public = config.http.public_listen.expect("a public listener");
    let ours: BTreeSet<_> = published(&compose["services"]["checkback"]).into_iter().collect();
    let listeners = [config.http.listen.port(), public.port()];
    assert_eq!(ours, listeners.map(|port| (port, port)).into());
    for (name, service) in entries(&compose["services"]) {
        for (host, container) in published(service) {
            // Addresses in pages, QR codes and documents hold inside and outside.
            assert_eq!(host, container, "{name}");
            assert!(document.contains(&host.to_string()), "docs/production.md lacks {host}");
        }
    }
}

#[test]
fn services_find_each_other() {
    let (config, _secrets) = service_config();
    let compose = compose();
    let is_service = |host: &str| !compose["services"][host].is_null();
    let (host, port) = config.rocketmq.namesrv.split_once(':').expect("host and port");
    assert!(is_service(host), "{host}");
    for service in ["broker", "dashboard"] {
        let text = compose["services"][service].to_string();
        assert!(text.contains(&format!("{host}:{port}")), "{service} has another name server");
    }
    assert!(compose["services"][host]["healthcheck"].to_string().contains(port));
    let gateway = url(&config.alipay.gateway_url);
    assert_eq!(gateway.path(), "/gateway.do");
    let simulator = &compose["services"][gateway.host_str().expect("a host")];
    let port = gateway.port().expect("a port");
    assert_eq!(published(simulator), [(port, port)]);
    let notify = url(&config.alipay.notify_url);
    assert_eq!(notify.host_str(), Some("checkback"));
    assert_eq!(notify.port(), config.http.public_listen.map(|address| address.port()));
    let database = url(config.database.url.expose());
    let mysql = &compose["services"][database.host_str().expect("a host")]["environment"];
    assert_eq!(mysql["MYSQL_DATABASE"], database.path().trim_start_matches('/'));
    assert_eq!(mysql["MYSQL_USER"], database.username());
}

fn url(text: &str) -> reqwest::Url {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn mounted_files_exist() {
    let compose = compose();
    let volumes: BTreeSet<_> = entries(&compose["volumes"]).map(|(name, _)| name).collect();
    let mut used = BTreeSet::new();
    for (name, service) in entries(&compose["services"]) {
        for mount in texts(&service["volumes"]) {
            let source = mount.split(':').next().expect("a source").to_owned();
            if let Some(file) = source.strip_prefix("./") {
                assert!(path("docker").join(file).exists(), "{name}: {source}");
                assert!(mount.ends_with(":ro"), "{name} may change {source}");
            } else {
                assert!(volumes.contains(&source), "{name}: no volume {source}");
                used.insert(source);
            }
        }
    }
    assert!(volumes.iter().all(|volume| used.contains(*volume)), "a volume is not used");
}

#[test]
fn secrets_are_made_mounted_and_used() {
    let (_, made) = service_config();
    let compose = compose();
    let secrets = &compose["secrets"];
    for (name, secret) in entries(secrets) {
        let file = secret["file"].as_str().expect("a file");
        let exists = match file.strip_prefix("./secrets/") {
            Some(file) => made.path().join(file).exists(),
            None => path("docker").join(file).exists(),
        };
        assert!(exists, "{name}: {file}");
    }
    for (name, service) in entries(&compose["services"]) {
        let mounted = texts(&service["secrets"]);
        assert!(mounted.iter().all(|secret| !secrets[*secret].is_null()), "{name}");
        let mut text = service["environment"].to_string();
        if name == "checkback" {
            text.push_str(&read("docker/checkback.toml"));
        }
        let named: BTreeSet<_> = text
            .split(SECRETS)
            .skip(1)
            .filter_map(|rest| rest.split(|c: char| !(c.is_alphanumeric() || c == '_')).next())
            .collect();
        assert_eq!(named, mounted.into_iter().collect(), "{name}");
    }
}

#[test]
fn whoever_is_waited_for_can_become_healthy() {
    let compose = compose();
    let services = &compose["services"];
    for (name, service) in entries(services) {
        let once = service["restart"].is_null();
        assert_eq!(once, service["healthcheck"].is_null(), "{name} has no health check");
        for (other, how) in entries(&service["depends_on"]) {
            let ends = services[other]["restart"].is_null();
            let wanted = if ends { "service_completed_successfully" } else { "service_healthy" };
            assert_eq!(how["condition"], wanted, "{name} waits for {other}");
        }
    }
}

#[test]
fn overridden_keys_exist() {
    let document = read("docs/configuration.md");
    for (name, service) in entries(&compose()["services"]) {
        for (variable, _) in entries(&service["environment"]) {
            let Some(key) = variable.strip_prefix("CHECKBACK__") else { continue };
            let key = key.to_lowercase().replace("__", ".");
            assert!(document.contains(&format!("`{key}`")), "{name}: no key {key}");
        }
    }
}
