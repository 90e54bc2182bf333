//! The schema: of an older or a newer release, migrated by many at once, begun and not finished.

use std::time::Duration;

use checkback::domain::ids::DeploymentId;
use checkback::store::{Store, StoreError, deployment};
use futures_util::future::join_all;

use super::database::{Database, at};
use crate::support::engines::{MysqlDatabase, execute};

/// Instances that start at the same time.
const INSTANCES: usize = 8;

on_each_database!(
    a_schema_that_is_behind_is_refused_until_it_is_migrated,
    an_older_release_works_with_the_schema_of_a_newer_one,
    a_schema_that_has_lost_what_this_release_reads_is_refused,
    a_migration_that_was_changed_is_refused,
);

async fn newest(db: &Database) -> i64 {
    db.number("select max(version) from _sqlx_migrations").await
}

async fn refusal(db: &Database) -> String {
    match db.store.verify().await {
        Err(StoreError::Unfit(why)) => why,
        other => panic!("not refused: {other:?}"),
    }
}

async fn a_schema_that_is_behind_is_refused_until_it_is_migrated(db: &Database) {
    db.store.verify().await.expect("migrated");
    db.run("delete from _sqlx_migrations").await.expect("deleted");
    let why = refusal(db).await;
    assert!(why.contains("migrations behind") && why.contains("`checkback migrate`"), "{why}");
}

async fn an_older_release_works_with_the_schema_of_a_newer_one(db: &Database) {
    let newer = "insert into _sqlx_migrations (version, description, success, checksum, \
                 execution_time) values (9999, 'of a newer release', true, x'00', 1)";
    db.run(newer).await.expect("stored");
    db.store.migrate().await.expect("nothing to do");
    db.store.verify().await.expect("it only adds");
    db.place("ORDER").await;
}

async fn a_schema_that_has_lost_what_this_release_reads_is_refused(db: &Database) {
    deployment::ensure(&db.store, DeploymentId::from_trusted("D"), at(0)).await.expect("stored");
    db.store.verify().await.expect("nothing is lost yet");
    db.run("update deployment set schema_floor = 9999").await.expect("stored");
    let why = refusal(db).await;
    assert!(why.contains("install a newer release"), "{why}");
}

async fn a_migration_that_was_changed_is_refused(db: &Database) {
    db.run("update _sqlx_migrations set checksum = x'00' where version = 1").await.expect("stored");
    db.store.migrate().await.expect_err("it differs");
    let why = refusal(db).await;
    assert!(why.contains("migration 1 "), "{why}");
}

#[tokio::test]
async fn instances_that_start_at_once_migrate_a_fresh_database_once() {
    let Some(database) = MysqlDatabase::create().await else { return };
    let opened = join_all((0..INSTANCES).map(|_| Store::connect(&database.url))).await;
    let stores: Vec<_> = opened.into_iter().map(|store| store.expect("a database")).collect();
    for migrated in join_all(stores.iter().map(Store::migrate)).await {
        migrated.expect("migrated by one of them");
    }
    for store in &stores {
        store.verify().await.expect("the schema is complete");
        store.close().await;
    }
    database.remove().await;
}

#[tokio::test]
async fn who_finds_another_instance_migrating_waits_for_it() {
    let Some(database) = MysqlDatabase::create().await else { return };
    let lock = "concat('checkback-migrate-', left(sha2(database(), 256), 32))";
    let hold = format!("do get_lock({lock}, 0), sleep(2)");
    let url = database.url.clone();
    let other = tokio::spawn(async move { execute(&url, hold).await });
    tokio::time::sleep(Duration::from_millis(500)).await;
    let store = Store::connect(&database.url).await.expect("a database");
    store.migrate().await.expect("after the other");
    assert!(other.is_finished(), "the lock was not waited for");
    store.close().await;
    database.remove().await;
}

/// A process that is killed leaves a row that says *begun*; the statement was done, or was not.
#[tokio::test]
async fn what_a_killed_process_began_is_finished() {
    let Some(db) = Database::mysql().await else { return };
    let index = "select count(*) from information_schema.statistics where \
                 table_schema = database() and index_name = 'sweep_runs_by_age'";
    for version in [31, 32, 33] {
        let begun = "update _sqlx_migrations set success = false where version = ";
        db.run(&format!("{begun}{version}")).await.expect("begun");
        assert!(refusal(&db).await.contains("not finished"));
        db.store.migrate().await.expect("it is there");
        db.store.verify().await.expect("finished");
    }
    db.run("drop index sweep_runs_by_age on sweep_runs").await.expect("dropped");
    db.run("update _sqlx_migrations set success = false where version = 32").await.expect("begun");
    db.store.migrate().await.expect("it is done now");
    assert_eq!(db.number(index).await, 1);
    assert_eq!(newest(&db).await, db.number("select count(*) from _sqlx_migrations").await);
    db.remove().await;
}

/// What the server refused was not begun: once its cause is gone, it is done.
#[tokio::test]
async fn a_migration_that_fails_can_be_tried_again() {
    let Some(database) = MysqlDatabase::create().await else { return };
    execute(&database.url, "create table orders (foreign_to_us bigint)".to_owned()).await;
    let store = Store::connect(&database.url).await.expect("a database");
    for _ in 0..2 {
        let failed = store.migrate().await.expect_err("somebody else's table is in the way");
        assert!(matches!(failed, StoreError::Migrate(_)), "{failed:?}");
    }
    execute(&database.url, "drop table orders".to_owned()).await;
    store.migrate().await.expect("nothing is in the way");
    store.verify().await.expect("complete");
    store.close().await;
    database.remove().await;
}

#[tokio::test]
async fn a_database_that_takes_ids_for_equal_that_are_not_is_refused() {
    let Some(database) = MysqlDatabase::create().await else { return };
    let store = Store::connect(&database.url).await.expect("a database");
    let to = |characters: &str| execute(&database.url, format!("alter database {characters}"));
    for characters in ["character set utf8mb4 collate utf8mb4_general_ci", "character set latin1"] {
        to(characters).await;
        let refused = store.migrate().await.expect_err("letter cases are merged").to_string();
        assert!(refused.contains("alter database `checkback_test_"), "{refused}");
    }
    to("character set utf8mb4 collate utf8mb4_bin").await;
    store.migrate().await.expect("as the remedy said");
    let merged = "alter table skus modify title varchar(256) character set utf8mb4 \
                  collate utf8mb4_general_ci not null";
    execute(&database.url, merged.to_owned()).await;
    let refused = store.verify().await.expect_err("a column merges them").to_string();
    let remedy = "alter table skus convert to character set utf8mb4 collate utf8mb4_bin";
    assert!(refused.contains("skus.title") && refused.contains(remedy), "{refused}");
    execute(&database.url, remedy.to_owned()).await;
    store.verify().await.expect("as the remedy said");
    store.close().await;
    database.remove().await;
}
