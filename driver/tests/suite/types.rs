//! Values of every type come back as they were bound.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Debug;
use std::net::IpAddr;

use helenus_driver::value::{
    Counter, CqlDate, CqlDecimal, CqlDuration, CqlTime, CqlTimestamp, CqlTimeuuid, CqlValue,
    CqlVarint, MaybeUnset,
};
use helenus_driver::{
    DeserializeRow, DeserializeValue, Result, SerializeRow, SerializeValue, Session, Uuid,
};

use crate::both;

both! {
    every_scalar_type_comes_back
    collections_come_back
    user_defined_types_are_structs
    rows_are_structs_by_name
    null_deletes_and_unset_leaves_alone
    counters_count
    any_value_can_be_read_without_knowing_its_type
}

/// Stores `value` in a column of type `cql` and reads it again.
async fn round_trip<T>(session: &Session, number: usize, cql: &str, value: T)
where
    T: SerializeValue + for<'f, 'm> DeserializeValue<'f, 'm> + PartialEq + Debug,
{
    let create = format!("CREATE TABLE t{number} (k int PRIMARY KEY, v {cql})");
    session.query(create, ()).await.unwrap();
    let insert = format!("INSERT INTO t{number} (k, v) VALUES (?, ?)");
    let insert = session.prepare(insert).await.unwrap();
    session.execute(&insert, (1, Some(&value))).await.unwrap();
    session.execute(&insert, (2, None::<T>)).await.unwrap();
    let select = session.prepare(format!("SELECT v FROM t{number} WHERE k = ?")).await.unwrap();
    let found = session.execute(&select, (1,)).await.unwrap();
    assert_eq!(found.one::<(Option<T>,)>().unwrap().0, Some(value), "{cql}");
    let found = session.execute(&select, (2,)).await.unwrap();
    assert_eq!(found.one::<(Option<T>,)>().unwrap().0, None, "{cql}");
}

async fn every_scalar_type_comes_back(session: Session) -> Result<()> {
    let s = &session;
    round_trip(s, 1, "ascii", "plain".to_owned()).await;
    round_trip(s, 2, "text", "Κασσάνδρα".to_owned()).await;
    round_trip(s, 3, "tinyint", i8::MIN).await;
    round_trip(s, 4, "smallint", i16::MIN).await;
    round_trip(s, 5, "int", i32::MIN).await;
    round_trip(s, 6, "bigint", i64::MIN).await;
    round_trip(s, 7, "float", 0.1_f32).await;
    round_trip(s, 8, "double", f64::MIN_POSITIVE).await;
    round_trip(s, 9, "boolean", true).await;
    round_trip(s, 10, "blob", vec![0_u8, 255, 7]).await;
    round_trip(s, 11, "varint", CqlVarint::from_signed_bytes_be(vec![1; 40])).await;
    let decimal = CqlDecimal::from_signed_be_bytes_and_exponent(vec![0x7f, 1], 3);
    round_trip(s, 12, "decimal", decimal).await;
    round_trip(s, 13, "date", CqlDate((1 << 31) + 7)).await;
    round_trip(s, 14, "time", CqlTime(86_399_999_999_999)).await;
    round_trip(s, 15, "timestamp", CqlTimestamp(-1)).await;
    let duration = CqlDuration { months: 1, days: -2, nanoseconds: 3 };
    round_trip(s, 16, "duration", CqlDuration { days: 2, ..duration }).await;
    round_trip(s, 17, "uuid", Uuid::from_u128(0x1234_5678_9abc_4def_8123_4567_89ab_cdef)).await;
    let timeuuid = CqlTimeuuid::from_u128(0x1234_5678_9abc_1def_8123_4567_89ab_cdef);
    round_trip(s, 18, "timeuuid", timeuuid).await;
    round_trip(s, 19, "inet", "2001:db8::1".parse::<IpAddr>().unwrap()).await;
    Ok(())
}

async fn collections_come_back(session: Session) -> Result<()> {
    let s = &session;
    round_trip(s, 1, "list<int>", vec![3, 1, 2, 1]).await;
    round_trip(s, 2, "set<text>", BTreeSet::from(["a".to_owned(), "b".to_owned()])).await;
    round_trip(s, 3, "map<text, bigint>", BTreeMap::from([("a".to_owned(), 1_i64)])).await;
    round_trip(s, 4, "frozen<map<int, boolean>>", HashMap::from([(1, true), (2, false)])).await;
    round_trip(s, 5, "tuple<int, text>", (1, "one".to_owned())).await;
    round_trip(s, 6, "vector<float, 3>", vec![1.0_f32, 0.5, -1.0]).await;
    let nested = BTreeMap::from([("a".to_owned(), vec![BTreeSet::from([1, 2]), BTreeSet::new()])]);
    round_trip(s, 7, "map<text, frozen<list<frozen<set<int>>>>>", nested).await;
    Ok(())
}

#[derive(Clone, Debug, PartialEq, SerializeValue, DeserializeValue)]
#[scylla(crate = helenus_driver)]
struct Address {
    street: String,
    number: Option<i32>,
}

#[derive(Clone, Debug, PartialEq, SerializeRow, DeserializeRow)]
#[scylla(crate = helenus_driver)]
struct Person {
    name: String,
    #[scylla(rename = "lives")]
    address: Option<Address>,
    former: Option<Vec<Address>>,
}

async fn user_defined_types_are_structs(session: Session) -> Result<()> {
    session.query("CREATE TYPE address (street text, number int)", ()).await?;
    let create = "CREATE TABLE people (name text PRIMARY KEY, lives address, \
                  former list<frozen<address>>)";
    session.query(create, ()).await?;
    let troy = Address { street: "Scaean Gate".to_owned(), number: None };
    let mycenae = Address { street: "Lion Gate".to_owned(), number: Some(1) };
    let person = Person {
        name: "Cassandra".to_owned(),
        address: Some(mycenae),
        former: Some(vec![troy.clone(), troy]),
    };
    let insert = "INSERT INTO people (name, lives, former) VALUES (:name, :lives, :former)";
    session.query(insert, &person).await?;
    let rows = session.query("SELECT * FROM people", ()).await?;
    assert_eq!(rows.one::<Person>()?, person);
    Ok(())
}

async fn rows_are_structs_by_name(session: Session) -> Result<()> {
    session.query("CREATE TABLE people (name text PRIMARY KEY, lives int, former int)", ()).await?;
    #[derive(Debug, PartialEq, SerializeRow, DeserializeRow)]
    #[scylla(crate = helenus_driver)]
    struct Row {
        former: i32,
        name: String,
        lives: i32,
    }
    let row = |number: i32| Row { former: number, name: format!("n{number}"), lives: -number };
    let insert = "INSERT INTO people (name, lives, former) VALUES (?, ?, ?)";
    let insert = session.prepare(insert).await?;
    session.execute(&insert, row(1)).await?;
    let by_name = HashMap::from([("lives", -2), ("former", 2)]);
    let named = "INSERT INTO people (name, lives, former) VALUES ('n2', :lives, :former)";
    session.query(named, by_name).await?;
    session.execute(&insert, ("n3", -3, 3)).await?;
    for number in 1..=3 {
        let select = "SELECT name, lives, former FROM people WHERE name = ?";
        let rows = session.query(select, (format!("n{number}"),)).await?;
        assert_eq!(rows.one::<Row>()?, row(number));
        let names: Vec<_> = rows.columns().iter().map(|column| column.name()).collect();
        assert_eq!(names, ["name", "lives", "former"]);
    }
    Ok(())
}

async fn null_deletes_and_unset_leaves_alone(session: Session) -> Result<()> {
    session.query("CREATE TABLE t (k int PRIMARY KEY, a int, b int)", ()).await?;
    let insert = session.prepare("INSERT INTO t (k, a, b) VALUES (1, ?, ?)").await?;
    let found = async || {
        let rows = session.query("SELECT a, b FROM t WHERE k = 1", ()).await.unwrap();
        rows.one::<(Option<i32>, Option<i32>)>().unwrap()
    };
    session.execute(&insert, (1, 2)).await?;
    session.execute(&insert, (MaybeUnset::<i32>::Unset, None::<i32>)).await?;
    assert_eq!(found().await, (Some(1), None));
    session.execute(&insert, (None::<i32>, MaybeUnset::Set(5))).await?;
    assert_eq!(found().await, (None, Some(5)));
    Ok(())
}

async fn counters_count(session: Session) -> Result<()> {
    session.query("CREATE TABLE c (k int PRIMARY KEY, n counter)", ()).await?;
    let add = session.prepare("UPDATE c SET n = n + ? WHERE k = ?").await?;
    for by in [5_i64, -2, 7] {
        session.execute(&add, (Counter(by), 1)).await?;
    }
    let batch = helenus_driver::Batch::counter().add(&add, (Counter(90), 1))?;
    session.batch(&batch).await?;
    let rows = session.query("SELECT n FROM c", ()).await?;
    assert_eq!(rows.one::<(Counter,)>()?.0, Counter(100));
    Ok(())
}

async fn any_value_can_be_read_without_knowing_its_type(session: Session) -> Result<()> {
    session.query("CREATE TABLE t (k int PRIMARY KEY, v list<text>, w int)", ()).await?;
    session.query("INSERT INTO t (k, v) VALUES (1, ['a'])", ()).await?;
    let rows = session.query("SELECT k, v, w FROM t", ()).await?;
    let row: helenus_driver::value::Row = rows.one()?;
    let list = CqlValue::List(vec![CqlValue::Text("a".to_owned())]);
    assert_eq!(row.columns, [Some(CqlValue::Int(1)), Some(list), None]);
    Ok(())
}
