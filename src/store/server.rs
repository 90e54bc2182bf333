//! What a `MySQL` or `MariaDB` server has to be like: it takes writes, keeps texts apart that
//! differ in letter case only, and takes a statement that carries a notification.

use sqlx::AnyConnection;

use super::StoreError;
use super::connection::Held;

/// The least `max_allowed_packet` (bytes): every body that is taken in is far smaller.
const PACKET_BYTES_MIN: i64 = 1024 * 1024;
/// The only character set that holds every text.
const CHARACTER_SET: &str = "utf8mb4";

/// A text column.
#[derive(sqlx::FromRow)]
struct Column {
    /// Its table.
    owner: String,
    name: String,
    character_set: String,
    collation: String,
}

/// Checks everything; these are the tables of the schema.
pub(super) async fn verify(held: &mut Held, tables: &[String]) -> Result<(), StoreError> {
    require_writable(held).await?;
    let packet_bytes: i64 = sqlx::query_scalar("select cast(@@max_allowed_packet as signed)")
        .fetch_one(&mut *held)
        .await?;
    if packet_bytes < PACKET_BYTES_MIN {
        return Err(StoreError::Unfit(format!(
            "the database server's max_allowed_packet is {packet_bytes} bytes; set at least \
             {PACKET_BYTES_MIN}"
        )));
    }
    let columns: Vec<Column> = sqlx::query_as(
        "select cast(table_name as char) as owner, cast(column_name as char) as name, \
         cast(character_set_name as char) as character_set, \
         cast(collation_name as char) as collation from information_schema.columns \
         where table_schema = database() and collation_name is not null",
    )
    .fetch_all(held)
    .await?;
    let ours = |column: &&Column| tables.contains(&column.owner);
    let unfit = |column: &&Column| !keeps_apart(&column.character_set, &column.collation);
    match columns.iter().filter(ours).find(unfit) {
        None => Ok(()),
        Some(column) => Err(StoreError::Unfit(format!(
            "{table}.{} is {} with the collation {}, which takes ids for equal that are not: run \
             `alter table {table} convert to character set utf8mb4 collate utf8mb4_bin`",
            column.name,
            column.character_set,
            column.collation,
            table = column.owner,
        ))),
    }
}

/// Checks that the server takes writes: one that is read-only is a replica, even for an account
/// that may write all the same.
pub(super) async fn require_writable(held: &mut Held) -> Result<(), StoreError> {
    let read_only: String =
        sqlx::query_scalar("select cast(@@global.read_only as char)").fetch_one(held).await?;
    if matches!(read_only.as_str(), "0" | "OFF") { Ok(()) } else { Err(StoreError::ReadOnly) }
}

/// Checks what new tables would be made with.
pub(super) async fn require_character_set(
    connection: &mut AnyConnection,
) -> Result<(), StoreError> {
    let (name, character_set, collation): (String, String, String) = sqlx::query_as(
        "select cast(schema_name as char), cast(default_character_set_name as char), \
         cast(default_collation_name as char) from information_schema.schemata \
         where schema_name = database()",
    )
    .fetch_one(connection)
    .await?;
    if keeps_apart(&character_set, &collation) {
        return Ok(());
    }
    Err(StoreError::Unfit(format!(
        "the database {name} is {character_set} with the collation {collation}, which takes ids \
         for equal that are not: run `alter database `{name}` character set utf8mb4 collate \
         utf8mb4_bin`"
    )))
}

/// Whether texts that differ in letter case only stay apart.
fn keeps_apart(character_set: &str, collation: &str) -> bool {
    character_set == CHARACTER_SET && (collation.ends_with("_bin") || collation.ends_with("_cs"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn collations_keep_letter_cases_apart_or_not() {
        for good in ["utf8mb4_bin", "utf8mb4_0900_bin", "utf8mb4_0900_as_cs"] {
            assert!(keeps_apart("utf8mb4", good), "{good}");
        }
        for bad in ["utf8mb4_general_ci", "utf8mb4_0900_ai_ci", "uca1400_ai_ci"] {
            assert!(!keeps_apart("utf8mb4", bad), "{bad}");
        }
        assert!(!keeps_apart("utf8mb3", "utf8mb3_bin"));
    }
}
