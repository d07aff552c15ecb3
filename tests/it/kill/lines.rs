//! Files that grow: JSON lines, some of them half written for a while, some of them no rows at all.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fastrand::Rng;
use tokio_postgres::Client;

use crate::harness::{rows, run, until};

/// The files, and what is in them.
pub struct Lines {
    directory: PathBuf,
    files: usize,
    /// What is missing of each file's last line.
    halves: Vec<Option<Half>>,
    next_id: i64,
    pub rows: i64,
    sum: i64,
    dead: i64,
}

/// The second half of a line, and what it will count.
struct Half {
    text: String,
    value: Option<i64>,
}

impl Lines {
    pub fn new(directory: &Path, files: usize) -> Self {
        let directory = directory.to_path_buf();
        Lines { directory, files, halves: (0..files).map(|_| None).collect(), next_id: 0, rows: 0, sum: 0, dead: 0 }
    }

    /// The source over the files, and a view of all its rows.
    pub async fn create_source(&self, client: &Client) {
        let columns = "id BIGINT, at TIMESTAMP, kind TEXT, v BIGINT, WATERMARK FOR at AS at - INTERVAL '10 seconds'";
        let path = self.directory.join("events-*.jsonl");
        run(
            client,
            &format!(
                "CREATE SOURCE events ({columns}) WITH (connector = 'file', path = '{}', follow = 'true') FORMAT PLAIN ENCODE JSON",
                path.display()
            ),
        )
        .await;
    }

    /// Appends until the server is gone, or until it is told to stop; now and then it waits until what it wrote can be read.
    pub async fn grow(mut self, client: Client, mut random: Rng, stop: Arc<AtomicBool>) -> Lines {
        while !stop.load(Ordering::Relaxed) {
            for _ in 0..random.u8(1..4) {
                self.append(&mut random);
            }
            let seen = match random.bool() {
                true => self.rows,
                // Whatever is there: the next lines come while these are on their way.
                false => 0,
            };
            loop {
                let Ok(row) = client.query_one("SELECT count(*) FROM raw", &[]).await else { return self };
                if row.get::<_, i64>(0) >= seen || stop.load(Ordering::Relaxed) {
                    break;
                }
            }
        }
        self
    }

    /// Appends some lines to one of the files, the last one not always in full.
    pub fn append(&mut self, random: &mut Rng) {
        let file = random.usize(..self.files);
        let mut text = String::new();
        if let Some(Half { text: rest, value }) = self.halves[file].take() {
            text += &rest;
            self.count(value);
        }
        for _ in 0..random.u8(..8) {
            let (line, value) = self.line(random);
            if random.u8(..10) == 0 {
                let (first, rest) = line.split_at(random.usize(1..line.len()));
                text += first;
                self.halves[file] = Some(Half { text: rest.to_string(), value });
                break;
            }
            text += &line;
            self.count(value);
        }
        let path = self.directory.join(format!("events-{file}.jsonl"));
        let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    /// A line, and its `v`; none for one that is no row.
    fn line(&mut self, random: &mut Rng) -> (String, Option<i64>) {
        if random.u8(..50) == 0 {
            return ("no row\n".to_string(), None);
        }
        let (id, v) = (self.next_id, random.i64(-1000..1000));
        self.next_id += 1;
        // Some seconds late, some early.
        let second = (id + random.i64(0..10)) % 86_400;
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        let kind = ["red", "green", "blue"][random.usize(..3)];
        let line =
            format!("{{\"id\": {id}, \"at\": \"2024-01-01 {hour:02}:{minute:02}:{second:02}\", \"kind\": \"{kind}\", \"v\": {v}}}\n");
        (line, Some(v))
    }

    fn count(&mut self, value: Option<i64>) {
        match value {
            Some(v) => {
                self.rows += 1;
                self.sum += v;
            }
            None => self.dead += 1,
        }
    }

    /// Waits until all is read; each row is there once, and each line that is no row was told once.
    pub async fn settle(&self, client: &Client) {
        until(client, "SELECT count(*) FROM weir.views WHERE filling", "0").await;
        // Views that have been made over the source read it together in the end.
        until(client, "SELECT count(*) FILTER (WHERE at_end) || ' of ' || count(*) FROM weir.sources", "1 of 1").await;
        let counted =
            "SELECT (SELECT count(*) FROM raw) || ' rows and ' || (SELECT sum(dead_letters) FROM weir.sources) || ' dead letters'";
        until(client, counted, &format!("{} rows and {} dead letters", self.rows, self.dead)).await;
        let found = rows(client, "SELECT count(*), count(DISTINCT id), coalesce(sum(v), 0) FROM raw").await;
        assert_eq!(found, [[self.rows.to_string(), self.rows.to_string(), self.sum.to_string()]], "rows of the source");
    }
}
