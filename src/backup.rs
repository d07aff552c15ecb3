//! `weir backup` and `weir restore`.

use std::net::SocketAddr;
use std::path::Path;

use tokio_postgres::{NoTls, SimpleQueryMessage};

/// Asks a running server for a backup.
pub async fn make(to: &Path, pg: SocketAddr) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let to = std::path::absolute(to)?;
    let name = to.to_str().ok_or("the directory's name is not UTF-8")?;
    let url = format!("postgres://weir@{pg}/weir");
    let (client, connection) =
        tokio_postgres::connect(&url, NoTls).await.map_err(|error| format!("cannot connect to a server at {pg}: {error}"))?;
    tokio::spawn(connection);
    let told = client.simple_query(&format!("BACKUP TO '{}'", name.replace('\'', "''"))).await;
    let told = told.map_err(|error| match error.as_db_error() {
        Some(error) => [Some(error.message()), error.hint()].into_iter().flatten().collect::<Vec<_>>().join("; hint: "),
        None => error.to_string(),
    })?;
    let commit =
        told.iter().find_map(|message| if let SimpleQueryMessage::CommandComplete(commit) = message { Some(*commit) } else { None });
    println!("backup of commit {} in {}", commit.unwrap_or(0), to.display());
    Ok(())
}

/// Makes a data directory of a backup.
pub fn restore(from: &Path, data: &Path) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let commit = weir_server::restore(from, data)?;
    println!("restored commit {commit} into {}", data.display());
    println!("start it with: weir serve --data {}", data.display());
    Ok(())
}
