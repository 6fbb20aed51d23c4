//! One way to put a statement to either database. Statements are constants, with `?1`, `?2` ... for values, in the words that SQLite and
//! Postgres share; where there are none, [`Db::pick`] takes one of two texts.

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, params_from_iter};
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, private::BytesMut, to_sql_checked};

use super::postgres::Session;
use super::rows::sql_int;

/// What a statement came to.
pub(super) type Result<T> = std::result::Result<T, DbError>;

/// Why a statement failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum DbError {
    /// SQLite's word.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    /// Postgres' word.
    #[error(transparent)]
    Postgres(#[from] tokio_postgres::Error),
    /// There is no connection.
    #[error("{0}")]
    Unreachable(String),
    /// No answer in time; the connection is given up.
    #[error("no answer within {0:?}")]
    Slow(std::time::Duration),
    /// A column that holds what we never write.
    #[error("column {column}: {why}")]
    Column {
        /// Which.
        column: usize,
        /// What is wrong.
        why: String,
    },
}

/// A value that is bound to a statement.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Param<'a> {
    Null,
    Int(i64),
    Real(f64),
    Text(&'a str),
    Blob(&'a [u8]),
}

/// Values of a statement, in order.
macro_rules! params {
    ($($value:expr),* $(,)?) => { &[$($crate::store::db::Param::from($value)),*] };
}
pub(super) use params;

macro_rules! param_from {
    ($($of:ty, $value:ident => $param:expr;)*) => {
        $(impl<'a> From<$of> for Param<'a> {
            fn from($value: $of) -> Self {
                $param
            }
        })*
    };
}

param_from! {
    i64, n => Self::Int(n);
    u32, n => Self::Int(n.into());
    u64, n => Self::Int(sql_int(n));
    bool, b => Self::Int(b.into());
    f64, x => Self::Real(x);
    &'a str, text => Self::Text(text);
    &'a String, text => Self::Text(text);
    &'a [u8], bytes => Self::Blob(bytes);
    &'a Vec<u8>, bytes => Self::Blob(bytes);
    &'a [u8; 16], bytes => Self::Blob(bytes);
    &'a [u8; 32], bytes => Self::Blob(bytes);
}

impl<'a, T> From<Option<T>> for Param<'a>
where
    Self: From<T>,
{
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Self::from)
    }
}

impl rusqlite::ToSql for Param<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match *self {
            Self::Null => ValueRef::Null,
            Self::Int(n) => ValueRef::Integer(n),
            Self::Real(x) => ValueRef::Real(x),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Blob(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

type BoxedError = Box<dyn std::error::Error + Sync + Send>;

/// Our columns are BIGINT, DOUBLE PRECISION, TEXT and BYTEA. A text of Postgres cannot hold U+0000: U+2400, its picture, stands for it, in
/// what is written and what is looked for alike.
impl ToSql for Param<'_> {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> std::result::Result<IsNull, BoxedError> {
        match *self {
            Self::Null => Ok(IsNull::Yes),
            Self::Int(n) if *ty == Type::INT4 => i32::try_from(n)?.to_sql(ty, out),
            Self::Int(n) => n.to_sql(ty, out),
            Self::Real(x) => x.to_sql(ty, out),
            Self::Text(text) if text.contains('\0') => text.replace('\0', "\u{2400}").to_sql(ty, out),
            Self::Text(text) => text.to_sql(ty, out),
            Self::Blob(bytes) => bytes.to_sql(ty, out),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// A row of a result.
#[derive(Clone, Copy)]
pub(super) enum Row<'r> {
    Sqlite(&'r rusqlite::Row<'r>),
    Postgres(&'r tokio_postgres::Row),
}

/// What both databases give.
pub(super) trait Column: rusqlite::types::FromSql + for<'r> FromSql<'r> {}
impl<T: rusqlite::types::FromSql + for<'r> FromSql<'r>> Column for T {}

impl<'r> Row<'r> {
    pub(super) fn get<T: Column>(&self, column: usize) -> Result<T> {
        match self {
            Self::Sqlite(row) => Ok(row.get(column)?),
            Self::Postgres(row) => Ok(row.try_get(column)?),
        }
    }

    /// Whether a number is not 0.
    pub(super) fn flag(&self, column: usize) -> Result<bool> {
        self.get::<i64>(column).map(|n| n != 0)
    }

    /// Bytes of a known length.
    pub(super) fn array<const N: usize>(&self, column: usize) -> Result<[u8; N]> {
        let why = || format!("{N} bytes were expected");
        let bytes = self.raw(column)?.ok_or_else(|| DbError::Column { column, why: why() })?;
        bytes.try_into().map_err(|_| DbError::Column { column, why: why() })
    }

    /// The bytes of a text or a blob, whatever they are.
    pub(super) fn raw(&self, column: usize) -> Result<Option<&'r [u8]>> {
        match self {
            Self::Sqlite(row) => match row.get_ref(column)? {
                ValueRef::Null => Ok(None),
                ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Ok(Some(bytes)),
                ValueRef::Integer(_) | ValueRef::Real(_) => {
                    Err(DbError::Column { column, why: "holds a number".to_owned() })
                }
            },
            Self::Postgres(row) => Ok(row.try_get::<_, Option<Raw<'r>>>(column)?.map(|raw| raw.0)),
        }
    }
}

/// See [`Row::raw`].
struct Raw<'r>(&'r [u8]);

impl<'r> FromSql<'r> for Raw<'r> {
    fn from_sql(_: &Type, raw: &'r [u8]) -> std::result::Result<Self, BoxedError> {
        Ok(Self(raw))
    }

    fn accepts(ty: &Type) -> bool {
        matches!(*ty, Type::TEXT | Type::VARCHAR | Type::BYTEA)
    }
}

/// A connection, in a transaction or not.
#[derive(Clone, Copy)]
pub(super) enum Db<'c> {
    Sqlite(&'c Connection),
    Postgres(&'c Session),
}

impl Db<'_> {
    /// The text for this database.
    pub(super) fn pick(self, sqlite: &'static str, postgres: &'static str) -> &'static str {
        match self {
            Self::Sqlite(_) => sqlite,
            Self::Postgres(_) => postgres,
        }
    }

    /// How many rows it changed.
    pub(super) fn execute(self, sql: &'static str, params: &[Param<'_>]) -> Result<u64> {
        match self {
            Self::Sqlite(connection) => {
                Ok(connection.prepare_cached(sql)?.execute(params_from_iter(params))? as u64)
            }
            Self::Postgres(session) => session.execute(sql, params),
        }
    }

    /// One statement many times, in order; Postgres gets all of them before it is asked for the first result.
    pub(super) fn execute_all<'p, const N: usize>(
        self,
        sql: &'static str,
        rows: impl Iterator<Item = [Param<'p>; N]>,
    ) -> Result<Vec<u64>> {
        match self {
            Self::Sqlite(connection) => {
                let mut statement = connection.prepare_cached(sql)?;
                let mut run = |row: [Param<'_>; N]| Ok(statement.execute(params_from_iter(row))? as u64);
                rows.map(&mut run).collect()
            }
            Self::Postgres(session) => session.execute_all(sql, rows.collect()),
        }
    }

    /// All rows.
    pub(super) fn query<T>(
        self,
        sql: &'static str,
        params: &[Param<'_>],
        read: impl Fn(&Row<'_>) -> Result<T>,
    ) -> Result<Vec<T>> {
        match self {
            Self::Sqlite(connection) => {
                let mut statement = connection.prepare_cached(sql)?;
                let mut rows = statement.query(params_from_iter(params))?;
                let mut all = Vec::new();
                while let Some(row) = rows.next()? {
                    all.push(read(&Row::Sqlite(row))?);
                }
                Ok(all)
            }
            Self::Postgres(session) => {
                session.query(sql, params)?.iter().map(|row| read(&Row::Postgres(row))).collect()
            }
        }
    }

    /// The first row, if there is one.
    pub(super) fn first<T>(
        self,
        sql: &'static str,
        params: &[Param<'_>],
        read: impl Fn(&Row<'_>) -> Result<T>,
    ) -> Result<Option<T>> {
        match self {
            Self::Sqlite(connection) => {
                let mut statement = connection.prepare_cached(sql)?;
                let mut rows = statement.query(params_from_iter(params))?;
                rows.next()?.map(|row| read(&Row::Sqlite(row))).transpose()
            }
            Self::Postgres(session) => {
                session.query(sql, params)?.first().map(|row| read(&Row::Postgres(row))).transpose()
            }
        }
    }
}
