//! A todo list in a directory, or on a cluster.
//!
//! ```text
//! cargo run -p helenus-driver --example todo -- add "believe Cassandra"
//! cargo run -p helenus-driver --example todo -- list
//! cargo run -p helenus-driver --example todo -- done 1
//! HELENUS_NODES=127.0.0.1:9042 cargo run -p helenus-driver --example todo -- list
//! ```
#![expect(clippy::print_stdout, reason = "it is what the program is for")]

use helenus_driver::blocking::Session;
use helenus_driver::{DeserializeRow, Result};

#[derive(DeserializeRow)]
#[scylla(crate = helenus_driver)]
struct Todo {
    id: i32,
    what: String,
    done: Option<bool>,
}

/// The one line that differs between a program with its data inside and one with a cluster.
fn session() -> Result<Session> {
    match std::env::var("HELENUS_NODES") {
        Ok(nodes) => Session::connect(nodes.split(',')),
        Err(_) => Session::open(std::env::temp_dir().join("helenus-todo")),
    }
}

fn main() -> Result<()> {
    let session = session()?;
    session.query(
        "CREATE KEYSPACE IF NOT EXISTS todo \
         WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
        (),
    )?;
    session.query(
        "CREATE TABLE IF NOT EXISTS todo.items (list text, id int, what text, done boolean, \
         PRIMARY KEY (list, id))",
        (),
    )?;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["add", what] => add(&session, what)?,
        ["done", id] => match id.parse::<i32>() {
            Ok(id) => done(&session, id)?,
            Err(_) => println!("{id} is not a number"),
        },
        ["list"] | [] => {}
        _ => println!("usage: todo [add WHAT | done NUMBER | list]"),
    }
    let rows = session.query("SELECT id, what, done FROM todo.items WHERE list = 'mine'", ())?;
    for todo in rows.iter::<Todo>()? {
        let Todo { id, what, done } = todo?;
        println!("{id:3} [{}] {what}", if done == Some(true) { 'x' } else { ' ' });
    }
    session.close()
}

/// Adds an item under the next number; if somebody else takes it first, under the one after.
fn add(session: &Session, what: &str) -> Result<()> {
    let last = "SELECT id FROM todo.items WHERE list = 'mine' ORDER BY id DESC LIMIT 1";
    let insert = session
        .prepare("INSERT INTO todo.items (list, id, what) VALUES ('mine', ?, ?) IF NOT EXISTS")?;
    loop {
        let next = session.query(last, ())?.first::<(i32,)>()?.map_or(1, |(id,)| id + 1);
        if session.execute(&insert, (next, what))?.applied()? {
            return Ok(());
        }
    }
}

fn done(session: &Session, id: i32) -> Result<()> {
    let update = "UPDATE todo.items SET done = true WHERE list = 'mine' AND id = ? IF EXISTS";
    if !session.query(update, (id,))?.applied()? {
        println!("there is no item {id}");
    }
    Ok(())
}
