//! Measures, on request: commits per second, and the delay of notices.

use super::*;

/// Prints commits per second through the trait, beside pgbench with the same statements and with
/// single rows, on a server that syncs its disk.
/// `cargo test --release -p customer-settings-server --test it -- --ignored --nocapture postgres::speed::commits_per_second`
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures"]
async fn commits_per_second() {
    let server = PostgresServer::start(Disk::Safe);
    let url = server.make_database("bench").await;
    {
        let store = Arc::new(PostgresStore::open(&url, OPTIONS, SERVE).await.unwrap());
        // The companies that pgbench writes to.
        write_many(&store, "bench", 64, 1).await;
        tamper(&url, "CREATE TABLE single_rows (client BIGINT, body TEXT)").await;
    }
    for (writers, commits) in [(1_u32, 1_000_u32), (16, 250), (64, 100)] {
        for size in [16, 64] {
            let options = PoolOptions { size, ..OPTIONS };
            let store = Arc::new(PostgresStore::open(&url, options, SERVE).await.unwrap());
            // The first run warms up: connections, and prepared statements.
            write_many(&store, &format!("warm_{writers}_{size}"), writers, 20).await;
            let rate = write_many(&store, &format!("cmp_{writers}_{size}"), writers, commits).await;
            println!("{writers} writers, {size} connections: {rate:.0} commits/s");
        }
        let same = pgbench(&server, writers, SAME_STATEMENTS);
        let single = pgbench(&server, writers, SINGLE_ROWS);
        println!(
            "{writers} pgbench clients: {same} with the same statements, {single} single rows"
        );
    }
    let store = PostgresStore::open(&url, OPTIONS, SERVE).await.unwrap();
    let whole = grant("cmp_64_16_0");
    let reads = 2_000;
    for settings in [false, true] {
        let start = SystemClock.monotonic();
        for _ in 0..reads {
            if settings {
                store.settings(&whole).await.unwrap();
            } else {
                store.revision(&whole).await.unwrap();
            }
        }
        let each = (SystemClock.monotonic() - start).as_secs_f64() / f64::from(reads);
        let what = if settings { "settings of 104 entries" } else { "revision" };
        println!("{what}: {:.0} µs", each * 1e6);
    }
}

/// Prints the time from a commit until its notice reaches another node.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures"]
async fn delay_of_notices() {
    let server = PostgresServer::start(Disk::Safe);
    let url = server.make_database("bench").await;
    let (one, other) = (open(&url).await, open(&url).await);
    let mut notices = other.notices().await.unwrap();
    assert_eq!(next(&mut notices).await, Notice::Everything);
    let mut current = make_company(&one, "cmp_a", "A").await;
    next(&mut notices).await;
    let mut delays = Vec::new();
    for _ in 0..1_000 {
        let plan = touching(&current);
        append(&one, &stream("cmp_a"), &plan.line).await.unwrap();
        let start = SystemClock.monotonic();
        next(&mut notices).await;
        delays.push((SystemClock.monotonic() - start).as_secs_f64() * 1e3);
        current = plan.after;
    }
    delays.sort_by(f64::total_cmp);
    println!(
        "median {:.1} ms, 99 % {:.1} ms, longest {:.1} ms",
        delays[499], delays[989], delays[999]
    );
}

/// Each writer adds entries to a company of its own: commits per second.
async fn write_many(store: &Arc<PostgresStore>, prefix: &str, writers: u32, commits: u32) -> f64 {
    let mut currents = Vec::new();
    for writer in 0..writers {
        currents.push(make_company(&**store, &format!("{prefix}_{writer}"), "A").await);
    }
    let start = SystemClock.monotonic();
    let writing = currents.into_iter().map(|mut current| {
        let store = Arc::clone(store);
        tokio::spawn(async move {
            let grant = grant(current.company.id.as_str());
            for i in 0..commits {
                let tag = entry(&format!("tag_{i}"), &format!("Tag {i}"), i);
                let plan = plan(Some(&current), vec![made_entry(Catalog::CustomerTags, tag)]);
                append(&*store, grant.stream(), &plan.line).await.unwrap();
                current = plan.after;
            }
        })
    });
    for writing in join_all(writing).await {
        writing.unwrap();
    }
    f64::from(writers * commits) / (SystemClock.monotonic() - start).as_secs_f64()
}

/// The statements of a commit of one new entry. Each client has a company of its own.
const SAME_STATEMENTS: &str = "\
\\set revision :revision + 1
BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;
UPDATE companies SET revision = revision + 1, changed_time = :revision WHERE id = 'bench_' || :client_id;
INSERT INTO changes (stream_kind, stream_id, revision, part, time, actor_key_id, actor_staff_id, subjects, body)
    VALUES ('company', 'bench_' || :client_id, :revision, 0, :revision, 'key_1', 'staff_001', '[]', repeat('x', 400));
INSERT INTO entries (company_id, catalog, id, rank, name, description, color, is_default, state,
        created_by, created_time, last_updated_by, last_updated_time, last_updated_revision)
    VALUES ('bench_' || :client_id, 'life_cycles', 'p_' || :revision, :revision, 'P ' || :revision,
        'two lines', '#00FF00', FALSE, 'active', 'load', 1, 'staff_001', 1, 1);
COMMIT;
";
const SINGLE_ROWS: &str = "INSERT INTO single_rows VALUES (:client_id, repeat('x', 400));\n";

/// Transactions per second of this script.
fn pgbench(server: &PostgresServer, clients: u32, script: &str) -> String {
    // Every run uses revisions of its own.
    static RUNS: AtomicU32 = AtomicU32::new(1);
    let first = RUNS.fetch_add(1, Ordering::SeqCst) * 1_000_000;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("script.sql");
    fs::write(&file, script).unwrap();
    let program = programs().join("pgbench");
    let mut run = Command::new(if program.exists() { program } else { "pgbench".into() });
    run.args(["--no-vacuum", "--protocol=prepared", "--time=5", "--jobs=2", "--username=postgres"])
        .arg(format!("--client={clients}"))
        .arg(format!("--define=revision={first}"))
        .arg(format!("--port={}", server.port))
        .arg("--file")
        .arg(&file)
        .args(["--host=127.0.0.1", "bench"])
        .env("PGSSLMODE", "disable");
    let output = run.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let line = text.lines().find(|line| line.starts_with("tps")).unwrap();
    format!("{:.0}/s", line.split(' ').nth(2).unwrap().parse::<f64>().unwrap())
}
