//! A `weir serve` process of a test's own: free ports, a data directory that goes with it, and a clean end or a sudden one.

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio_postgres::{Client, NoTls};

/// How long a server may take until it accepts connections, and until it has ended.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server. Dropping it kills the process; [`Server::stop`] ends it as an administrator would.
pub struct Server {
    child: Option<Child>,
    url: String,
    http: String,
    scratch: TempDir,
    /// With what it is started the next time.
    pub setup: Setup,
}

/// What a server is started with besides what all of them are.
#[derive(Default)]
pub struct Setup {
    /// Time between two checkpoints; a short one unless given.
    pub checkpoint_interval: Option<&'static str>,
    /// More options of its command line.
    pub options: Vec<String>,
    /// Variables of its environment.
    pub environment: Vec<(&'static str, OsString)>,
}

impl Server {
    /// Starts the binary under test, its HTTP side on `http` (`HOST:PORT`), and waits for its ready line.
    pub fn start(workers: usize, http: &str) -> Result<Server, String> {
        Server::start_with(workers, http, &[])
    }

    /// The same with more options on its command line, also when it is started again.
    pub fn start_with(workers: usize, http: &str, options: &[&str]) -> Result<Server, String> {
        let options = options.iter().map(|option| option.to_string()).collect();
        let mut server = Server::prepare(http, Setup { options, ..Setup::default() })?;
        let data = server.data();
        server.child = Some(launch(&data, &server.log_file(), workers, "127.0.0.1:0", http, &server.setup)?);
        server.wait_ready()?;
        Ok(server)
    }

    /// One that is not started yet: something can be put into its data directory, which is not there yet.
    pub fn prepare(http: &str, setup: Setup) -> Result<Server, String> {
        let above = std::env::temp_dir().canonicalize().map_err(|e| format!("no directory for temporary files: {e}"))?;
        let scratch = tempfile::Builder::new().prefix("weir-test-").tempdir_in(above).map_err(|e| format!("no scratch directory: {e}"))?;
        Ok(Server { child: None, url: String::new(), http: http.to_string(), scratch, setup })
    }

    /// Its data directory.
    pub fn data(&self) -> PathBuf {
        self.scratch.path().join("data")
    }

    /// Ends the process as a power cut would: it does nothing any more.
    pub fn kill(&mut self) {
        let child = self.child.as_mut().expect("it was started");
        child.kill().expect("it is a child of this process");
        child.wait().expect("it was killed");
    }

    /// Waits until it has ended by itself.
    pub fn ended(&mut self) -> Result<ExitStatus, String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.child.as_mut().expect("it was started").try_wait().map_err(|e| e.to_string())? {
                Some(status) => return Ok(status),
                None if Instant::now() > deadline => return Err(format!("weir did not end; its log:\n{}", self.log())),
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    }

    /// Starts it again over the same data directory, with another number of workers, and does not wait until it is ready.
    pub fn begin(&mut self, workers: usize) -> Result<(), String> {
        let pg = self.url.trim_start_matches("postgres://weir@").trim_end_matches("/weir");
        self.child = Some(launch(&self.data(), &self.log_file(), workers, &if_free(pg), &if_free(&self.http), &self.setup)?);
        Ok(())
    }

    /// Starts it again as [`Server::begin`] does; returns when it is ready. Ports are the same where they are free.
    pub fn restart(&mut self, workers: usize) -> Result<(), String> {
        self.begin(workers)?;
        self.wait_ready()
    }

    fn wait_ready(&mut self) -> Result<(), String> {
        let stdout = self.child.as_mut().and_then(|child| child.stdout.take()).expect("it was started, with a pipe");
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            // Reads to the end, so that the server never meets a closed pipe.
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if let Some(url) = line.strip_prefix("ready: ") {
                    let _ = sender.send(url.to_string());
                }
            }
        });
        self.url = receiver.recv_timeout(PATIENCE).map_err(|_| format!("weir printed no ready line; its log:\n{}", self.log()))?;
        Ok(())
    }

    /// Where clients connect: `postgres://weir@HOST:PORT/weir`.
    pub fn url(&self) -> &str {
        &self.url
    }

    fn log_file(&self) -> PathBuf {
        self.scratch.path().join("server.log")
    }

    /// What the server logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// Ends the server by SIGTERM. It must exit with code 0, in time, and must not have panicked.
    pub fn stop(mut self) -> Result<(), String> {
        // The shell's own `kill`: a bare machine has no other.
        let id = self.child.as_ref().expect("it was started").id().to_string();
        Command::new("sh").args(["-c", "kill -TERM \"$0\"", &id]).status().map_err(|e| e.to_string())?;
        let status = self.ended()?;
        let log = self.log();
        if !status.success() {
            return Err(format!("weir ended with {status}; its log:\n{log}"));
        }
        if log.contains("panicked at") {
            return Err(format!("weir panicked on the way; its log:\n{log}"));
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child
            && matches!(child.try_wait(), Ok(None))
        {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("last lines of the server's log:\n{}", lines[lines.len().saturating_sub(40)..].join("\n"));
        }
    }
}

/// Starts the binary under test; its log is appended to.
fn launch(data: &Path, log: &Path, workers: usize, pg: &str, http: &str, setup: &Setup) -> Result<Child, String> {
    let log = fs::File::options().create(true).append(true).open(log).map_err(|e| format!("no log file: {e}"))?;
    let mut command = Command::new(std::env::var_os("WEIR_BINARY").unwrap_or_else(|| env!("CARGO_BIN_EXE_weir").into()));
    command.args(["serve", "--pg", pg, "--http", http, "--workers", &workers.to_string(), "--data"]).arg(data);
    match setup.checkpoint_interval {
        Some(interval) => drop(command.args(["--checkpoint-interval", interval])),
        None if std::env::var_os("WEIR_CHECKPOINT_INTERVAL").is_some() => {}
        // Many in a test, and often none since the last write.
        None => drop(command.args(["--checkpoint-interval", "100ms"])),
    }
    command.args(&setup.options);
    command.envs(setup.environment.iter().map(|(name, value)| (name, value)));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
    command.spawn().map_err(|e| format!("cannot start weir: {e}"))
}

/// The address, or another port where somebody else has it by now.
fn if_free(address: &str) -> String {
    TcpListener::bind(address).map_or_else(|_| "127.0.0.1:0".to_string(), |_| address.to_string())
}

/// A connection to this address; the task that drives it ends with the client.
pub async fn connect(url: &str) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// The small extract of the flights that the repository carries.
pub fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("sql/data")
}
