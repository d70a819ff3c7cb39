//! `helenus shell` from outside: statements from the command line, files and pipes, against a node
//! and against a data directory; what it prints, and how it ends.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::process::{Node, TempDir};

fn shell(arguments: &[&str], input: Option<&str>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_helenus"));
    command.arg("shell").args(arguments).env_remove("NO_COLOR");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.unwrap_or_default().as_bytes()).unwrap();
    drop(stdin);
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// What it prints, when it must end well.
fn fine(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    text(&output.stdout)
}

const SCHEMA: &str = "CREATE KEYSPACE app WITH replication = \
    {'class': 'SimpleStrategy', 'replication_factor': 1};\n\
    CREATE TABLE app.users (id int PRIMARY KEY, name text, tags set<text>); -- with ; one\n\
    USE app;\n\
    INSERT INTO users (id, name, tags) VALUES (1, 'Ann', {'a', 'b'});\n\
    BEGIN BATCH\n INSERT INTO users (id, name) VALUES (2, 'semi;colon');\n\
    INSERT INTO users (id, name) VALUES (30, $$Zoë$$);\n APPLY BATCH;\n";

const TABLE: &str = "
 id | name       | tags
----+------------+------------
  1 |        Ann | {'a', 'b'}
  2 | semi;colon |       null
 30 |        Zoë |       null

(3 rows)
";

/// The rows of a table in the order of their first column.
fn sorted(printed: &str) -> String {
    let mut lines: Vec<&str> = printed.lines().collect();
    let rows = lines.iter().position(|line| line.contains("-+-")).unwrap() + 1;
    let end = rows + lines[rows..].iter().position(|line| line.is_empty()).unwrap();
    lines[rows..end].sort_unstable();
    lines.join("\n") + "\n"
}

#[test]
fn statements_come_from_pipes_files_and_the_command_line() {
    let dir = TempDir::new();
    let node = Node::start(dir.path(), &[]);
    let address = node.address.to_string();
    assert_eq!(fine(&shell(&[&address], Some(SCHEMA))), "");
    let select = "SELECT * FROM app.users";
    assert_eq!(sorted(&fine(&shell(&[&address, "-e", select], None))), TABLE);

    let file = dir.path().join("script.cql");
    std::fs::write(&file, format!("{select};\nEXPAND ON\n{select} WHERE id = 1;")).unwrap();
    let printed = fine(&shell(&[&address, "-f", file.to_str().unwrap()], None));
    assert!(printed.contains(" name | Ann\n"), "{printed}");
    assert!(printed.contains("@ Row 1\n"), "{printed}");

    let printed = fine(&shell(
        &[&address, "-k", "app", "--output", "json", "-e", "SELECT * FROM users WHERE id = 1"],
        None,
    ));
    assert_eq!(printed, "{\"id\": 1, \"name\": \"Ann\", \"tags\": [\"a\", \"b\"]}\n");
    let printed = fine(&shell(
        &[&address, "-k", "app", "--output", "csv", "-e", "SELECT * FROM users WHERE id = 1"],
        None,
    ));
    assert_eq!(printed, "id,name,tags\n1,Ann,\"{'a', 'b'}\"\n");

    let printed = fine(&shell(&[&address, "-e", "DESCRIBE TABLE app.users"], None));
    assert!(printed.contains("CREATE TABLE app.users ("), "{printed}");
    let printed = fine(&shell(&[&address, "--protocol-version", "4", "-e", "SHOW VERSION"], None));
    assert!(printed.contains("Native protocol v4 with LZ4]"), "{printed}");
}

#[test]
fn wrong_statements_are_pointed_at_and_failures_have_codes() {
    let dir = TempDir::new();
    let node = Node::start(dir.path(), &[]);
    let address = node.address.to_string();
    fine(&shell(&[&address], Some(SCHEMA)));

    let wrong = shell(
        &[&address, "-k", "app", "-e", "SELECT nmae FROM users; SELECT id FROM users WHERE id = 2"],
        None,
    );
    assert_eq!(wrong.status.code(), Some(2));
    let complaint = text(&wrong.stderr);
    assert!(complaint.contains("Undefined column name nmae"), "{complaint}");
    assert!(complaint.contains("       ^^^^ did you mean name?\n"), "{complaint}");
    // The statements behind it are executed all the same, as cqlsh does.
    assert!(text(&wrong.stdout).contains("(1 rows)"));

    let wrong = shell(&[&address], Some("SELECT 1;\nSELECT *\nFORM app.users;"));
    let complaint = text(&wrong.stderr);
    assert!(complaint.contains("<stdin>:2:SyntaxException: line 2:0"), "{complaint}");
    assert!(complaint.contains("  FORM app.users\n  ^^^^ did you mean FROM?\n"), "{complaint}");

    let cut = shell(&[&address], Some("DELETE FROM app.users WHERE id = 1"));
    assert_eq!(cut.status.code(), Some(2));
    assert!(text(&cut.stderr).contains("Incomplete statement at end of file"));
    let printed = fine(&shell(&[&address, "-e", "SELECT count(*) FROM app.users"], None));
    assert!(printed.contains("     3\n"), "{printed}");

    assert_eq!(shell(&[&address, "--no-such-option"], None).status.code(), Some(2));
    assert_eq!(shell(&[&address, "-f", "/no/such/file"], None).status.code(), Some(1));
    drop(node);
    let lost = shell(&[&address, "-e", "SELECT 1"], None);
    assert_eq!(lost.status.code(), Some(1));
    assert!(text(&lost.stderr).contains("cannot connect to"), "{}", text(&lost.stderr));
}

#[test]
fn commands_change_what_comes_after_them() {
    let dir = TempDir::new();
    let node = Node::start(dir.path(), &[]);
    let address = node.address.to_string();
    fine(&shell(&[&address], Some(SCHEMA)));
    let captured = dir.path().join("captured.txt");
    let source = dir.path().join("source.cql");
    std::fs::write(&source, "SELECT name FROM app.users WHERE id = 1;\n").unwrap();
    let script = format!(
        "CONSISTENCY quorum\nSERIAL CONSISTENCY LOCAL_SERIAL\nPAGING 2\nSELECT id FROM app.users;\n\
         CAPTURE '{}'\nSOURCE '{}'\nCAPTURE OFF\nOUTPUT json\nSOURCE '{}'\nHELP select\nEXIT\nSELECT 1;",
        captured.display(),
        source.display(),
        source.display()
    );
    let printed = fine(&shell(&[&address], Some(&script)));
    for expected in [
        "Consistency level set to QUORUM.\n",
        "Serial consistency level set to LOCAL_SERIAL.\n",
        "Query paging is enabled. Page size: 2\n",
        "(3 rows)\n",
        "{\"name\": \"Ann\"}\n",
        "[ALLOW FILTERING]",
    ] {
        assert!(printed.contains(expected), "{expected} is not in {printed}");
    }
    let captured = std::fs::read_to_string(&captured).unwrap();
    assert_eq!(captured, "\n name\n------\n  Ann\n\n(1 rows)\n");
}

#[test]
fn a_data_directory_needs_no_server() {
    let dir = TempDir::new();
    let data = dir.path().join("data");
    let data = data.to_str().unwrap();
    assert_eq!(fine(&shell(&["--embedded", data], Some(SCHEMA))), "");
    let select = "SELECT * FROM app.users";
    assert_eq!(sorted(&fine(&shell(&["--embedded", data, "-e", select], None))), TABLE);
    // What the shell wrote, a server serves; and while it does, the shell keeps out.
    let node = Node::start(Path::new(dir.path()), &[]);
    let address = node.address.to_string();
    assert_eq!(sorted(&fine(&shell(&[&address, "-e", select], None))), TABLE);
    let refused = shell(&["--embedded", data, "-e", select], None);
    assert_eq!(refused.status.code(), Some(1), "{}", text(&refused.stderr));
}

#[test]
fn rows_go_to_a_file_and_back_and_what_fails_can_be_copied_again() {
    let dir = TempDir::new();
    let node = Node::start(dir.path(), &[]);
    let address = node.address.to_string();
    fine(&shell(&[&address], Some(SCHEMA)));
    let place = |name: &str| dir.path().join(name).display().to_string();
    let run = |statement: &str| shell(&[&address, "-k", "app", "-e", statement], None);
    let many: String = (100..20_100).map(|id| format!("{id},\"name, {id}\",\n")).collect();
    std::fs::write(place("many.csv"), many).unwrap();
    let copied = fine(&run(&format!("COPY users (id, name, tags) FROM '{}'", place("many.csv"))));
    assert!(copied.starts_with("20000 rows imported"), "{copied}");

    let select = "SELECT count(*) FROM users";
    for (file, options) in
        [("out.csv", "WITH HEADER = true AND DELIMITER = '|'"), ("out.jsonl", "")]
    {
        let file = place(file);
        let copied = fine(&run(&format!("COPY users TO '{file}' {options}")));
        assert!(copied.starts_with("20003 rows exported"), "{copied}");
        fine(&run("TRUNCATE users"));
        let copied = fine(&run(&format!("COPY users FROM '{file}' {options}")));
        assert!(copied.starts_with("20003 rows imported"), "{copied}");
        assert!(fine(&run(select)).contains(" 20003\n"));
        let select = "SELECT * FROM users WHERE id IN (1, 2, 30)";
        assert_eq!(sorted(&fine(&run(select))), TABLE);
    }

    let error_file = place("failed.err");
    std::fs::write(place("bad.csv"), "1,Bob,{'x'}\nzwei,Zwei,\n3,Drei,{broken\n4,Vier\n").unwrap();
    let copy = format!("COPY users FROM '{}' WITH ERRFILE = '{error_file}'", place("bad.csv"));
    let output = run(&copy);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).starts_with("1 rows imported"), "{}", text(&output.stdout));
    assert!(text(&output.stderr).contains("id: Unable to make int from 'zwei'"));
    let failed = std::fs::read_to_string(&error_file).unwrap();
    assert_eq!(failed, "zwei,Zwei,\n3,Drei,{broken\n4,Vier\n");
    let mended = failed.replace("zwei", "2").replace("{broken", "").replace("Vier", "Vier,");
    std::fs::write(place("mended.csv"), mended).unwrap();
    let copied = fine(&run(&format!("COPY users FROM '{}'", place("mended.csv"))));
    assert!(copied.starts_with("3 rows imported"), "{copied}");
}
