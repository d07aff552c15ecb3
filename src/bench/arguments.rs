//! The command line of `weir bench`.

use std::error::Error;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::Value;

use crate::bench::queries::Query;
use crate::units::duration;

/// What to measure.
#[derive(Args)]
pub struct Bench {
    #[command(subcommand)]
    pub subject: Subject,
}

/// What is measured.
#[derive(Subcommand)]
pub enum Subject {
    /// Bids of the Nexmark benchmark, made in this process
    ///
    /// Only bids are made, with all seven columns; an event is a bid. Of the 50 event numbers of a cycle 46 are bids, the
    /// others are skipped: generated_events counts the numbers that were stepped through.
    Nexmark(Nexmark),
    /// Bids in a file of JSON lines or CSV, as its name says (.json, .jsonl, .csv, each also with .gz)
    File(File),
    /// A restart with a large view: how long until the first right answer
    ///
    /// A server in a process of its own fills a view, takes a checkpoint, and is killed with SIGKILL; then servers are started on
    /// copies of what it has left, one after the other, and killed again; a last one is started on what such a restart has left.
    Restart(Restart),
    /// What checkpoints cost: the same stream of rows with checkpoints and without
    ///
    /// Every row counts for a random key, so that each checkpoint has all of them to write. Runs with and without checkpoints take
    /// turns.
    Checkpoint(Checkpoint),
}

#[derive(Args)]
pub struct Restart {
    /// Groups and rows of the view
    #[arg(long, value_name = "N", default_value_t = 10_000_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub keys: u64,
    /// Worker threads; as many as there are cores unless given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub workers: Option<u16>,
    /// Where the database is made, and kept afterwards; must not exist. A temporary directory unless given
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// How often the server is started again
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub restarts: u16,
    /// How the figures are printed: one JSON object, or text
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

#[derive(Args)]
pub struct Checkpoint {
    /// How long each run is measured, after its view is full
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "30s")]
    pub seconds: Duration,
    /// Groups and rows of the view
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub keys: u64,
    /// Time between two checkpoints
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "5s")]
    pub interval: Duration,
    /// Pairs of runs, one with checkpoints and one without
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub pairs: u16,
    /// Worker threads
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub workers: u16,
    /// How the figures are printed: one JSON object, or text
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// A measurement over bids, and where these come from.
pub enum Bids {
    Nexmark(Nexmark),
    File(File),
}

#[derive(Args)]
pub struct Nexmark {
    /// How many bids
    #[arg(long, value_name = "N", default_value_t = 5_000_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000_000))]
    pub events: u64,
    /// Other seeds make other bids
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Make all bids before the clock starts, and hold them in memory (about 250 bytes a bid, in peak_rss_bytes too)
    #[arg(long)]
    pub pregenerate: bool,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Args)]
pub struct File {
    /// The file; its rows have the columns auction, bidder, price, channel, url, date_time, extra
    #[arg(long, value_name = "FILE")]
    pub path: PathBuf,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Args)]
pub struct Common {
    /// What the view computes
    #[arg(long, value_enum, default_value_t = Query::Tumble)]
    pub query: Query,
    /// Worker threads; as many as there are cores unless given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub workers: Option<u16>,
    /// When a window's row appears in the view
    #[arg(long, value_enum, default_value_t = Emit::Update)]
    pub emit: Emit,
    /// Afterwards, compare the view with its query asked as a batch, and fail unless they are equal
    #[arg(long)]
    pub check: bool,
    /// How the figures are printed: one JSON object, or a line with its heading
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// When a window's row appears in the view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Emit {
    /// With its first row, and again with each change
    Update,
    /// When the watermark has passed its end
    Close,
}

/// How the figures are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Text,
    Json,
}

impl Format {
    /// Prints a report on standard output: as one JSON value in a line, or as lines of text, each with its end.
    pub fn print(self, json: impl FnOnce() -> Value, text: impl FnOnce() -> String) -> Result<(), Box<dyn Error + Send + Sync>> {
        let mut out = std::io::stdout().lock();
        match self {
            Format::Json => writeln!(out, "{}", json())?,
            Format::Text => write!(out, "{}", text())?,
        }
        Ok(out.flush()?)
    }
}

impl Bids {
    /// What all of them have in common.
    pub fn common(&self) -> &Common {
        match self {
            Bids::Nexmark(nexmark) => &nexmark.common,
            Bids::File(file) => &file.common,
        }
    }
}
