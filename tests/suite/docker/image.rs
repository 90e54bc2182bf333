//! The Dockerfile: what it copies, builds, starts and asks.

use serde_json::Value;

use super::{path, read, service_config, texts, yaml};
use crate::support::TestApp;

/// The instructions of this name, continued lines joined.
fn instructions(name: &str) -> Vec<String> {
    let text = read("docker/Dockerfile").replace("\\\n", " ");
    let lines = text.lines().map(str::trim_start);
    lines.filter_map(|line| line.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned)).collect()
}

/// The words of the JSON list in an instruction.
fn words(instruction: &str) -> Vec<String> {
    let list = &instruction[instruction.find('[').expect("a list")..];
    serde_json::from_str(list).expect("a list of words")
}

fn release(text: &str) -> (u32, u32) {
    let mut numbers = text.split('.').map(|number| number.parse().expect("a number"));
    (numbers.next().expect("a major"), numbers.next().expect("a minor"))
}

#[test]
fn everything_that_is_copied_is_there_and_let_through() {
    let let_through: Vec<_> = read(".dockerignore")
        .lines()
        .filter_map(|line| line.strip_prefix('!')?.into())
        .map(str::to_owned)
        .collect();
    let ours: Vec<_> =
        instructions("COPY").into_iter().filter(|copy| !copy.contains("--from=")).collect();
    assert!(!ours.is_empty());
    for copy in ours {
        let words: Vec<_> = copy.split_whitespace().collect();
        let (_, sources) = words.split_last().expect("a destination");
        for source in sources {
            assert!(path(source).exists(), "{source}");
            assert!(let_through.iter().any(|name| name == source), ".dockerignore: {source}");
        }
    }
}

/// Without the manifest of one member, none of them can be built.
#[test]
fn every_member_of_the_workspace_is_copied() {
    let copied = instructions("COPY");
    let manifest = read("Cargo.toml");
    let members = manifest.lines().find_map(|line| line.strip_prefix("members = "));
    for member in words(members.expect("members")) {
        assert!(copied.contains(&format!("{member} {member}")), "{member}");
    }
}

#[test]
fn the_compiler_is_new_enough() {
    let manifest = read("Cargo.toml");
    let wanted = manifest.lines().find_map(|line| line.strip_prefix("rust-version = "));
    let wanted = release(wanted.expect("a rust-version").trim_matches('"'));
    let base = instructions("FROM")
        .into_iter()
        .find_map(|from| Some(from.strip_prefix("rust:")?.split('-').next()?.to_owned()));
    assert!(release(&base.expect("a Rust image")) >= wanted);
}

#[test]
fn the_build_is_the_one_for_production_and_its_programs_exist() {
    let build = instructions("RUN").join("\n");
    for flag in ["--release", "--locked", "--no-default-features"] {
        assert!(build.contains(flag), "{flag}");
    }
    let programs = [env!("CARGO_BIN_EXE_checkback"), "alipay-simulator"];
    for program in programs {
        let name = program.rsplit('/').next().expect("a name");
        assert!(build.contains(&format!("target/release/{name}")), "{name}");
        let entry = format!("[\"/usr/bin/{name}\"]");
        assert!(instructions("ENTRYPOINT").contains(&entry), "{entry}");
    }
    let manifest = read("alipay-simulator/Cargo.toml");
    assert!(manifest.contains("name = \"alipay-simulator\""));
    assert!(path("alipay-simulator/src/main.rs").exists());
}

#[test]
fn the_service_is_started_with_the_configuration_that_is_mounted() {
    let command = instructions("CMD").into_iter().map(|text| words(&text));
    let serve = command.into_iter().find(|words| words[0] == "serve").expect("serve");
    let compose = yaml("docker/compose.yaml");
    let mounts = texts(&compose["services"]["checkback"]["volumes"]);
    assert!(mounts.contains(&format!("./checkback.toml:{}:ro", serve[2]).as_str()), "{serve:?}");
}

/// What the health checks of the image and of compose, which are the same, ask.
fn asked(service: &Value) -> reqwest::Url {
    let test = texts(&service["healthcheck"]["test"]);
    let same = |check: &String| {
        check.contains("CMD") && words(check).iter().map(String::as_str).eq(test[1..].to_vec())
    };
    assert!(instructions("HEALTHCHECK").iter().any(same), "another one: {test:?}");
    test.last().expect("an address").parse().expect("an address")
}

#[tokio::test(flavor = "multi_thread")]
async fn health_checks_ask_for_pages_that_exist() {
    let (config, _secrets) = service_config();
    let compose = yaml("docker/compose.yaml");
    let service = asked(&compose["services"]["checkback"]);
    let simulator = asked(&compose["services"]["simulator"]);
    assert_eq!(service.port(), Some(config.http.listen.port()));
    let gateway: reqwest::Url = config.alipay.gateway_url.parse().expect("an address");
    assert_eq!(simulator.port(), gateway.port());
    let app = TestApp::start_without_broker().await;
    let response = app.get(service.path()).send().await.expect("an answer");
    assert!(response.status().is_success(), "{service}");
    let response = app.client.get(format!("{}{}", app.simulator, simulator.path())).send().await;
    assert!(response.expect("an answer").status().is_success(), "{simulator}");
    app.finish().await;
}
