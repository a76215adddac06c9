//! Calls that are done later, as they are kept.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use cairn_kv::{At, Error as KvError, Only, Op, Put, Transaction};
use futures::{FutureExt as _, StreamExt as _};

use super::{Made, Registry, delete, entry, put, row};
use crate::agenda::Key;
use crate::calls::{Asked, CALL_KEPT, CallInfo, CallState};
use crate::error::Error;
use crate::model::Function;
use crate::rows::{self, CallRow};
use crate::schedules::{ATTEMPTS_MAX, Outcome};

/// A call that was begun.
pub(crate) struct Taken {
    pub(crate) asked: Asked,
    pub(crate) input: Bytes,
    pub(crate) attempt: u32,
    pub(crate) began_ms: u64,
}

impl Registry {
    /// Keeps a call. One that is there already with this id stays as it is.
    pub(crate) async fn add_call(
        &self,
        (function, id): &Key<String>,
        asked: &Asked,
        input: Bytes,
        by: &str,
    ) -> Result<Made<CallInfo>, Error> {
        let made_ms = self.now_ms();
        let call = CallRow {
            asked: asked.clone(),
            input: blake3::hash(&input).to_hex().to_string(),
            made_ms,
            by: by.to_owned(),
            state: CallState::Waiting { attempt: 0 },
        };
        if self.call(&(function.clone(), id.clone())).await?.is_none() {
            let key = rows::input(&function.name, id, &call.input);
            self.keep(function, key, input, CALL_KEPT * 2).await?;
        }
        let made = self.transact(function, |mut transaction: Transaction| {
            let call = call.clone();
            async move {
                if entry(&mut transaction, &rows::function(&function.name)).await?.is_none() {
                    return Err(Error::NoFunction { function: function.clone() });
                }
                let key = rows::call(&function.name, id);
                let known = match row::<CallRow>(&mut transaction, &key).await? {
                    None => row(&mut transaction, &rows::done(&function.name, id)).await?,
                    known => known,
                };
                let call = match known {
                    Some(known) if (&known.asked, &known.input) != (&call.asked, &call.input) => {
                        return Err(Error::OtherCall { function: function.clone() });
                    }
                    Some(known) => known,
                    None => {
                        put(&mut transaction, key, rows::encode(&call))?;
                        call
                    }
                };
                Ok((transaction, info(function, id, call)))
            }
            .boxed()
        });
        made.await
    }

    /// A call.
    pub(crate) async fn call(
        &self,
        (function, id): &Key<String>,
    ) -> Result<Option<CallInfo>, Error> {
        let open = self.get(&function.project, &rows::call(&function.name, id)).await?;
        let found = match open {
            None => self.get(&function.project, &rows::done(&function.name, id)).await?,
            open => open,
        };
        Ok(found.map(|call| info(function, id, call)))
    }

    /// The calls of a function that somebody asked for, the newest first, as far as so many rows of each kind tell; and
    /// whether those were all.
    pub(crate) async fn calls_by(
        &self,
        function: &Function,
        by: &str,
        most: usize,
    ) -> Result<(Vec<CallInfo>, bool), Error> {
        let (mut calls, mut complete) = (Vec::new(), true);
        for prefix in [rows::call(&function.name, ""), rows::done(&function.name, "")] {
            let (found, all) = self.some_rows(&function.project, &prefix, most).await?;
            complete &= all;
            for (key, value) in &found {
                let call: CallRow = rows::decode(key, value)?;
                if call.by == by {
                    calls.push(info(function, &key[prefix.len()..], call));
                }
            }
        }
        // One that ended between the two looks is there twice.
        calls.sort_by(|a, b| b.made_ms.cmp(&a.made_ms).then_with(|| a.id.cmp(&b.id)));
        calls.dedup_by(|later, earlier| later.id == earlier.id);
        Ok((calls, complete))
    }

    /// What came of a call.
    pub(crate) async fn output(&self, (function, id): &Key<String>) -> Result<Bytes, Error> {
        match self.kept(function, &rows::output(&function.name, id)).await {
            // What was never begun, or cut off again and again, has none.
            Err(Error::Kept(KvError::NoKey { .. })) => Ok(Bytes::new()),
            output => output,
        }
    }

    /// Begins a call that waits, or was cut off; none when there is nothing to do any more. What fails before it is begun
    /// is no attempt.
    pub(crate) async fn begin_call(
        &self,
        (function, id): &Key<String>,
    ) -> Result<Option<Taken>, Error> {
        let began_ms = self.now_ms();
        let key = rows::call(&function.name, id);
        let known: Option<CallRow> = self.get(&function.project, &key).await?;
        let Some(call) = known else { return Ok(None) };
        let waited = began_ms.saturating_sub(call.made_ms) > kept_ms();
        let input = match waited {
            true => Bytes::new(),
            false => self.kept(function, &rows::input(&function.name, id, &call.input)).await?,
        };
        let begun = self.note(function, move |mut transaction: Transaction| {
            async move {
                let key = rows::call(&function.name, id);
                let known: Option<CallRow> = row(&mut transaction, &key).await?;
                let Some(call) = known else { return Ok((transaction, None)) };
                let before = match call.state {
                    CallState::Waiting { attempt } | CallState::Running { attempt, .. } => attempt,
                    CallState::Done { attempt, .. } => attempt,
                };
                let attempt = before + 1;
                let (begun, state) = if waited {
                    (None, not_begun(before, began_ms, "there was no room for it for a day"))
                } else if before < ATTEMPTS_MAX {
                    (Some((call.asked.clone(), attempt)), CallState::Running { attempt, began_ms })
                } else {
                    let why = "nodes ended in the middle of it, again and again";
                    (None, not_begun(before, began_ms, why))
                };
                save(&mut transaction, (function, id), &CallRow { state, ..call }, began_ms)?;
                Ok((transaction, begun))
            }
            .boxed()
        });
        let begun = begun.await?.what;
        Ok(begun.map(|(asked, attempt)| Taken { asked, input, attempt, began_ms }))
    }

    /// An attempt ended so, with this output; or is let be for now, when the state says that it waits.
    pub(crate) async fn end_call(
        &self,
        (function, id): &Key<String>,
        begun: u32,
        state: &CallState,
        output: Bytes,
    ) -> Result<(), Error> {
        if !state.is_open() {
            self.keep(function, rows::output(&function.name, id), output, CALL_KEPT * 2).await?;
        }
        let now_ms = self.now_ms();
        let ended = self.transact(function, move |mut transaction: Transaction| {
            async move {
                let key = rows::call(&function.name, id);
                let known: Option<CallRow> = row(&mut transaction, &key).await?;
                let ours = |call: &CallRow| {
                    matches!(call.state, CallState::Running { attempt, .. } if attempt == begun)
                };
                if let Some(call) = known.filter(ours) {
                    let call = CallRow { state: state.clone(), ..call };
                    save(&mut transaction, (function, id), &call, now_ms)?;
                }
                Ok((transaction, ()))
            }
            .boxed()
        });
        ended.await.map(drop)
    }

    /// Keeps a value beside a row that says that it is there, twice as long as that: the row goes first.
    pub(super) async fn keep(
        &self,
        function: &Function,
        key: String,
        value: Bytes,
        kept: Duration,
    ) -> Result<(), Error> {
        let (of, size) = (rows::namespace(&function.project), value.len() as u64);
        let (key, ttl) = (Bytes::from(key), Some(kept));
        let put = Put { key, value: Bytes::new(), ttl, only: Only::Always, durable: None };
        let pieces = Box::pin(futures::stream::iter([Ok(value)]));
        self.kv.write(&of, put, Some(size), pieces).await?;
        Ok(())
    }

    pub(super) async fn kept(&self, function: &Function, key: &str) -> Result<Bytes, Error> {
        let of = rows::namespace(&function.project);
        let read = self.ask(|kv| kv.read(&of, key.as_bytes(), At::Durable).boxed());
        let mut value = read.await?;
        let mut all = BytesMut::new();
        while let Some(piece) = value.pieces.next().await {
            all.extend_from_slice(&piece?);
        }
        Ok(all.freeze())
    }
}

/// Keeps a call, and once it is done for as long as that is kept, without its input.
fn save(
    transaction: &mut Transaction,
    (function, id): (&Function, &str),
    call: &CallRow,
    now_ms: u64,
) -> Result<(), Error> {
    let (of, key) = (&function.name, rows::call(&function.name, id));
    if call.state.is_open() {
        return put(transaction, key, rows::encode(call));
    }
    delete(transaction, key)?;
    delete(transaction, rows::input(of, id, &call.input))?;
    let (key, value) = (rows::done(of, id).into(), rows::encode(call));
    let put = Op::Put { key, value, expires_ms: Some(now_ms + kept_ms()) };
    Ok(transaction.change(put).map_err(KvError::from)?)
}

fn kept_ms() -> u64 {
    u64::try_from(CALL_KEPT.as_millis()).unwrap_or(u64::MAX)
}

fn not_begun(attempt: u32, now_ms: u64, why: &str) -> CallState {
    CallState::Done {
        attempt,
        began_ms: now_ms,
        ended_ms: now_ms,
        outcome: Outcome::Failed,
        what: why.to_owned(),
        status: None,
        exit: None,
        media_type: None,
    }
}

fn info(function: &Function, id: &str, call: CallRow) -> CallInfo {
    CallInfo {
        id: id.to_owned(),
        project: function.project.to_string(),
        function: function.name.to_string(),
        made_ms: call.made_ms,
        by: call.by,
        state: call.state,
    }
}
