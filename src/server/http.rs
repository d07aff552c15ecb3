//! HTTP: is it alive, is it ready, and the metrics.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::database::Database;

/// Serves until `shutdown`.
pub async fn serve(listener: TcpListener, database: Arc<Database>, shutdown: CancellationToken) -> std::io::Result<()> {
    let router = Router::new()
        .route("/", get(|| async { "Weir. Try /healthz, /readyz, /metrics; SQL is on the Postgres port.\n" }))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(database);
    axum::serve(listener, router).with_graceful_shutdown(shutdown.cancelled_owned()).await
}

async fn ready(State(database): State<Arc<Database>>) -> impl IntoResponse {
    match database.engine.status().await {
        Ok(_) => (StatusCode::OK, "ready\n".to_string()),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{}\n", error.message())),
    }
}

async fn metrics(State(database): State<Arc<Database>>) -> impl IntoResponse {
    match database.engine.status().await {
        Ok(status) => {
            let text = database.metrics.text(&database.catalog().0, &status, database.disk(), database.clock.wall_micros());
            ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text).into_response()
        }
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{}\n", error.message())).into_response(),
    }
}
