//! `weir demo`: real flights arrive in a table, views follow, and the terminal shows both.

mod board; // what is shown, drawn or as plain text
mod feed; // the recorded flights and the pace at which they arrive
mod figures; // rate and freshness
mod screen; // the terminal, taken and given back

use std::io::Write;
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

use crate::demo::board::{Board, Window};
use crate::demo::feed::Feed;
use crate::demo::figures::Figures;
use crate::demo::screen::Screen;

/// Anything that can go wrong here ends the demo; nobody branches on it.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// How often flights arrive and the screen is drawn.
const TICK: Duration = Duration::from_millis(100);
/// How often a line is printed where nobody watches.
const PLAIN_EVERY: Duration = Duration::from_secs(1);
/// Windows in the last table.
const LAST_WINDOWS: usize = 24;

/// What the command line asks for.
pub struct DemoOptions {
    /// The server, running already: `postgres://weir@HOST:PORT/weir`.
    pub pg_url: String,
    /// When to end by itself; `None`: when the user says so.
    pub duration: Option<Duration>,
    /// Whether there is a terminal to draw on.
    pub interactive: bool,
}

/// Runs the demo to its end: a key, a signal, or the time given.
pub async fn run(options: DemoOptions) -> Result<()> {
    let writer = connect(&options.pg_url).await?;
    let reader = connect(&options.pg_url).await?;
    execute_all(&writer, include_str!("../sql/demo.sql")).await?;
    let mut feed = Feed::prepare(&writer).await?;

    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut terminated = signal(SignalKind::terminate())?;
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut screen = if options.interactive { Some(Screen::open()?) } else { None };
    let mut board = Board::new(&options.pg_url);
    if screen.is_none() {
        print(&board.invitation())?;
    }

    let start = Instant::now();
    let mut printed = Duration::ZERO;
    let mut figures = Figures::default();
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = interrupted.recv() => break,
            _ = terminated.recv() => break,
        }
        let elapsed = start.elapsed();
        if options.duration.is_some_and(|duration| elapsed >= duration) || screen.as_ref().is_some_and(Screen::asked_to_end) {
            break;
        }
        let arrived = feed.arrive(&writer, elapsed).await?;
        if arrived > 0 {
            let fresh = seen(&reader, feed.arrived()).await?;
            figures.note(elapsed, arrived, fresh);
        }
        board.update(&feed, figures.summary(elapsed));
        if let Some(screen) = &mut screen {
            board.show(windows(&reader, screen.rows()).await?);
            screen.draw(&board)?;
        } else if elapsed - printed >= PLAIN_EVERY {
            printed = elapsed;
            print(&board.line())?;
        }
    }
    // Gives the terminal back before anything is printed on it.
    drop(screen);
    board.update(&feed, figures.summary(start.elapsed()));
    board.show(windows(&reader, LAST_WINDOWS).await?);
    print(&board.table())
}

/// Waits until `by_hour` holds this many flights; the time since the INSERT was acknowledged.
async fn seen(reader: &Client, flights: u64) -> Result<Duration> {
    let committed = Instant::now();
    loop {
        let row = reader.query_one("SELECT coalesce(sum(flights), 0)::bigint FROM by_hour", &[]).await?;
        if row.get::<_, i64>(0) >= flights as i64 {
            return Ok(committed.elapsed());
        }
    }
}

/// The latest windows, oldest first.
async fn windows(reader: &Client, count: usize) -> Result<Vec<Window>> {
    let sql = format!(
        "SELECT window_start, origin, flights, mean_delay, worst FROM by_hour ORDER BY window_start DESC, origin DESC LIMIT {count}"
    );
    let mut windows = Vec::new();
    for message in reader.simple_query(&sql).await? {
        if let SimpleQueryMessage::Row(row) = message {
            windows.push(Window {
                start: row.get(0).unwrap_or_default().to_string(),
                origin: row.get(1).unwrap_or_default().to_string(),
                flights: row.get(2).unwrap_or_default().parse()?,
                mean_delay: row.get(3).map(str::parse).transpose()?,
                worst: row.get(4).map(str::parse).transpose()?,
            });
        }
    }
    windows.reverse();
    Ok(windows)
}

async fn connect(url: &str) -> Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    // It ends with the client; an error reaches whoever waits for an answer.
    tokio::spawn(connection);
    Ok(client)
}

/// Sends the statements of a script one after the other.
async fn execute_all(client: &Client, script: &str) -> Result<()> {
    for statement in script.split(";\n") {
        client.batch_execute(statement).await.map_err(|error| match error.as_db_error() {
            Some(db) => format!("{}\nwhile the demo ran: {}", db.message(), statement.trim()),
            None => error.to_string(),
        })?;
    }
    Ok(())
}

/// Prints without panicking when the other end of a pipe has gone.
fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}
