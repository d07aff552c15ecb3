//! The command line of `weir bench`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::bench::queries::Query;

/// What to measure.
#[derive(Args)]
pub struct Bench {
    #[command(subcommand)]
    pub subject: Subject,
}

/// Where the bids come from.
#[derive(Subcommand)]
pub enum Subject {
    /// Bids of the Nexmark benchmark, made in this process
    ///
    /// Only bids are made, with all seven columns; an event is a bid. Of the 50 event numbers of a cycle 46 are bids, the
    /// others are skipped: generated_events counts the numbers that were stepped through.
    Nexmark(Nexmark),
    /// Bids in a file of JSON lines or CSV, as its name says (.json, .jsonl, .csv, each also with .gz)
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

impl Bench {
    /// How the figures are printed.
    pub fn format(&self) -> Format {
        self.common().format
    }

    /// What all subjects have in common.
    pub fn common(&self) -> &Common {
        match &self.subject {
            Subject::Nexmark(nexmark) => &nexmark.common,
            Subject::File(file) => &file.common,
        }
    }
}
