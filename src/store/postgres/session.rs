//! One connection whose every answer is waited for at most so long. One that was given up is never used again.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::Future;
use std::time::Duration;

use futures::future::try_join_all;
use futures::{TryStreamExt, pin_mut};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;
use tokio_postgres::{Client, Error, NoTls, Row, Statement};

use super::super::address::{PostgresUrl, Tls};
use super::super::db::{DbError, Param, Result};
use super::tls::connector;

/// Until a connection stands.
const CONNECT: Duration = Duration::from_secs(1);
/// How long sent bytes may stay unconfirmed by the other machine.
const UNHEARD: Duration = Duration::from_secs(5);
/// After so long without a word the kernel asks whether the other side is still there.
const PROBE: Duration = Duration::from_secs(10);
/// Statements that go out together. What they answer is read meanwhile.
const TOGETHER: usize = 512;

/// See the module. It drives its connection itself: call it from a thread that may block, never from within an async task.
pub(in crate::store) struct Session {
    runtime: Option<Runtime>,
    client: Client,
    prepared: RefCell<HashMap<&'static str, Statement>>,
    patience: Duration,
    broken: Cell<bool>,
}

impl Session {
    /// Connects, then says `greeting`. `patience` holds for every later answer, in here and on the server.
    pub(in crate::store) fn connect(url: &PostgresUrl, patience: Duration, greeting: &str) -> Result<Self> {
        let fault = |why: String| DbError::Unreachable(format!("{url}: {why}"));
        let runtime =
            Builder::new_current_thread().enable_all().build().map_err(|error| fault(error.to_string()))?;
        let connected = runtime.block_on(async { timeout(CONNECT + CONNECT, Box::pin(open(url))).await });
        let client = match connected {
            Ok(Ok(client)) => client,
            Ok(Err(why)) => return Err(fault(why)),
            Err(_) => return Err(fault("no connection in time".to_owned())),
        };
        let prepared = RefCell::default();
        let session = Self { runtime: Some(runtime), client, prepared, patience, broken: Cell::new(false) };
        session.say(greeting)?;
        let limits = format!(
            "SET statement_timeout = {0}; SET lock_timeout = {0}; SET idle_in_transaction_session_timeout = {0}",
            patience.as_millis()
        );
        session.say(&limits)?;
        Ok(session)
    }

    /// Whether nothing more comes of it.
    pub(in crate::store) fn is_broken(&self) -> bool {
        self.broken.get() || self.client.is_closed()
    }

    /// Statements without values and without results, one after the other.
    pub(super) fn say(&self, statements: &str) -> Result<()> {
        self.wait(self.client.batch_execute(statements))
    }

    pub(in crate::store) fn execute(&self, sql: &'static str, params: &[Param<'_>]) -> Result<u64> {
        let statement = self.prepared(sql)?;
        self.wait(self.client.execute_raw(&statement, params))
    }

    pub(in crate::store) fn execute_all<const N: usize>(
        &self,
        sql: &'static str,
        rows: Vec<[Param<'_>; N]>,
    ) -> Result<Vec<u64>> {
        let statement = self.prepared(sql)?;
        let mut changed = Vec::with_capacity(rows.len());
        for together in rows.chunks(TOGETHER) {
            let all = together.iter().map(|row| self.client.execute_raw(&statement, row));
            changed.extend(self.wait(try_join_all(all))?);
        }
        Ok(changed)
    }

    pub(in crate::store) fn query(&self, sql: &'static str, params: &[Param<'_>]) -> Result<Vec<Row>> {
        let statement = self.prepared(sql)?;
        self.wait(async {
            let rows = self.client.query_raw(&statement, params).await?;
            pin_mut!(rows);
            rows.try_collect().await
        })
    }

    fn prepared(&self, sql: &'static str) -> Result<Statement> {
        if let Some(statement) = self.prepared.borrow().get(sql) {
            return Ok(statement.clone());
        }
        let statement = self.wait(self.client.prepare(&numbered(sql)))?;
        self.prepared.borrow_mut().insert(sql, statement.clone());
        Ok(statement)
    }

    fn wait<T>(&self, answer: impl Future<Output = std::result::Result<T, Error>>) -> Result<T> {
        let Some(runtime) = self.runtime.as_ref().filter(|_| !self.is_broken()) else {
            return Err(DbError::Unreachable("the connection was lost".to_owned()));
        };
        match runtime.block_on(async { timeout(self.patience, Box::pin(answer)).await }) {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                // A server that no longer writes is not the one we want: a later connection may find the one that does.
                self.broken.set(error.is_closed() || is_read_only(&error));
                Err(error.into())
            }
            Err(_) => {
                self.broken.set(true);
                Err(DbError::Slow(self.patience))
            }
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Waits for nothing, so it may be dropped anywhere.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn open(url: &PostgresUrl) -> std::result::Result<Client, String> {
    let mut config = url.config.clone();
    config.connect_timeout(CONNECT).tcp_user_timeout(UNHEARD).keepalives_idle(PROBE);
    if config.get_application_name().is_none() {
        config.application_name("pointsman");
    }
    match &url.tls {
        Tls::Off => {
            let (client, connection) = config.connect(NoTls).await.map_err(|e| said(&e))?;
            tokio::spawn(connection);
            Ok(client)
        }
        Tls::Verified(authorities) => {
            let connector = connector(authorities.as_deref())?;
            let (client, connection) = config.connect(connector).await.map_err(|e| said(&e))?;
            tokio::spawn(connection);
            Ok(client)
        }
    }
}

fn is_read_only(error: &Error) -> bool {
    error.code() == Some(&tokio_postgres::error::SqlState::READ_ONLY_SQL_TRANSACTION)
}

/// With its causes, which the error itself leaves out.
pub(in crate::store) fn said(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text = [text, inner.to_string()].join(": ");
        cause = inner.source();
    }
    text
}

/// `?1` is `$1` there.
fn numbered(sql: &str) -> String {
    sql.replace('?', "$")
}
