//! What stands in `docker/` agrees with the configuration, the metrics, the routes and the
//! documents. No container is run for it; `.ci/docker` holds the files against rules of their own.

use std::path::{Path, PathBuf};
use std::process::Command;

use checkback::config::Config;
use serde_json::Value;
use tempfile::TempDir;
use yaml_rust2::{Yaml, YamlLoader};

mod broker;
mod compose;
mod image;
mod prometheus;

/// Where compose mounts secrets.
const SECRETS: &str = "/run/secrets/";

fn path(inside: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(inside)
}

fn read(inside: &str) -> String {
    std::fs::read_to_string(path(inside)).unwrap_or_else(|error| panic!("{inside}: {error}"))
}

fn yaml(inside: &str) -> Value {
    let documents = YamlLoader::load_from_str(&read(inside)).expect("YAML");
    assert_eq!(documents.len(), 1, "{inside}");
    as_json(&documents[0])
}

fn as_json(yaml: &Yaml) -> Value {
    match yaml {
        Yaml::String(text) | Yaml::Real(text) => Value::from(text.as_str()),
        Yaml::Integer(number) => Value::from(*number),
        Yaml::Boolean(is) => Value::from(*is),
        Yaml::Array(items) => items.iter().map(as_json).collect(),
        Yaml::Hash(entries) => {
            let key = |yaml: &Yaml| yaml.as_str().expect("a text as key").to_owned();
            entries.iter().map(|(name, value)| (key(name), as_json(value))).collect()
        }
        Yaml::Null => Value::Null,
        Yaml::Alias(_) | Yaml::BadValue => panic!("not plain YAML: {yaml:?}"),
    }
}

/// The entries of an object; none if it isn't there.
fn entries(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

/// The texts of a list; none if it isn't there.
fn texts(value: &Value) -> Vec<&str> {
    let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
    items.iter().map(|item| item.as_str().expect("a text")).collect()
}

/// `docker/checkback.toml` as the service loads it, its secrets made by `docker/make-secrets`.
fn service_config() -> (Config, TempDir) {
    let dir = tempfile::tempdir().expect("a directory");
    let made = Command::new(path("docker/make-secrets")).arg(dir.path()).status();
    assert!(made.expect("a script").success());
    for (name, secret) in entries(&yaml("docker/compose.yaml")["secrets"]) {
        let file = secret["file"].as_str().expect("a file");
        if let Some(ours) = file.strip_prefix("../") {
            std::fs::copy(path(ours), dir.path().join(name)).expect("a key");
        }
    }
    let mounted = format!("{}/", dir.path().display());
    let file = dir.path().join("checkback.toml");
    let text = read("docker/checkback.toml").replace(SECRETS, &mounted);
    std::fs::write(&file, text).expect("a file");
    (Config::load(&file).expect("the configuration can be used"), dir)
}
