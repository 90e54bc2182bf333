//! Secrets in files that everybody on the machine can read: worth a warning, no reason to stop.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::Config;

/// The permission of everybody who is neither the owner nor of its group.
const OTHERS_READ: u32 = 0o004;

/// A sentence for each file with a secret that others can read. Before key files are read into the
/// configuration, which forgets their names then.
pub(super) fn secrets(file: &Path, config: &Config) -> Vec<String> {
    let key_files = config.http.keys.iter().filter_map(|key| {
        Some((format!("http.keys.key_file of {}", key.name), key.key_file.as_deref()?))
    });
    let password = config.rocketmq.secret_key_file.as_deref();
    let password = password.map(|path| ("rocketmq.secret_key_file".to_owned(), path));
    let url =
        config.database.url_file.as_deref().map(|path| ("database.url_file".to_owned(), path));
    let accounts = config.alipay.accounts();
    let private_keys = accounts
        .iter()
        .map(|placed| (placed.key("private_key_file"), placed.account.private_key_file.as_path()));
    let webhook = config.alarms.webhook_secret_file.as_deref();
    let webhook = webhook.map(|path| ("alarms.webhook_secret_file".to_owned(), path));
    let inline = written_in(file).map(|keys| (keys, file));
    let files =
        key_files.chain(password).chain(url).chain(webhook).chain(private_keys).chain(inline);
    let exposed = files.filter(|(_, path)| others_read(path));
    let warning = |(keys, path): (String, &Path)| {
        let path = path.display();
        format!("{keys}: others can read the secret in {path}, take their permission away")
    };
    exposed.map(warning).collect()
}

/// The keys with a secret that stand in the configuration file itself.
fn written_in(file: &Path) -> Option<String> {
    let table: toml::Table = fs::read_to_string(file).ok()?.parse().ok()?;
    let value = |section: &str, key: &str| table.get(section)?.get(key);
    let has_text = |value: Option<&toml::Value>| {
        value.and_then(toml::Value::as_str).is_some_and(|text| !text.is_empty())
    };
    let api_keys = value("http", "keys").and_then(toml::Value::as_array);
    let url = value("database", "url").and_then(toml::Value::as_str);
    let found = [
        ("http.keys.key", api_keys.is_some_and(|keys| keys.iter().any(|k| has_text(k.get("key"))))),
        ("rocketmq.secret_key", has_text(value("rocketmq", "secret_key"))),
        ("alarms.webhook_secret", has_text(value("alarms", "webhook_secret"))),
        ("database.url", url.is_some_and(has_password)),
    ];
    let found: Vec<_> = found.iter().filter(|(_, is_there)| *is_there).map(|(k, _)| *k).collect();
    (!found.is_empty()).then(|| found.join(", "))
}

/// `mysql://user:password@host/database`
fn has_password(url: &str) -> bool {
    let authority = url.split_once("://").map_or("", |(_, rest)| rest);
    let user = authority.rsplit_once('@').map_or("", |(user, _)| user);
    user.split_once(':').is_some_and(|(_, password)| !password.is_empty())
}

/// A file that isn't there is somebody else's complaint.
fn others_read(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|file| file.permissions().mode() & OTHERS_READ != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_in_an_address_is_found() {
        assert!(has_password("mysql://user:p@ss@host:3306/db"));
        for without in ["mysql://user@host/db", "mysql://host:3306/db", "sqlite:/a:b@c.db", ""] {
            assert!(!has_password(without), "{without}");
        }
    }
}
