//! Triggers of functions, and what tells them.

use std::time::Duration;

use cairn_access::{Action, Resource};
use cairn_base::{DatasetName, ProjectName};
use cairn_kv::{Changes, Error as KvError, Namespace, PartitionError, Seq};
use cairn_wasm::{Call, Kind, held};

use super::posts::Post;
use super::schedules::RETRY_MS;
use super::{Functions, Shared};
use crate::agenda::Key;
use crate::error::Error;
use crate::model::Function;
use crate::registry::is_elsewhere;
use crate::rows::ToldRow;
use crate::triggers::{Told, TriggerInfo, TriggerSpec, missed, parts};
use crate::visits::admitted;

/// How long a trigger waits for changes before it is looked whether it is still there.
const WAIT: Duration = Duration::from_secs(10);
/// How long a trigger is told before others have their turn.
const TURN: Duration = Duration::from_secs(10);
/// How often a namespace that another node has is looked at in the bucket.
const OTHERS_EVERY: Duration = Duration::from_secs(5);
/// The longest pause between tries.
const PAUSE_MS_MAX: u64 = 300_000;
/// What a function that answers requests is told beside the changes.
const HEADERS: [&str; 3] = ["cairn-trigger", "cairn-namespace", "cairn-attempt"];

impl Functions {
    /// Adds a trigger, for what changes from now on. Durable when this returns.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::NoFunction`], [`Error::TriggerExists`]; [`Error::Kept`], also when there is no such
    /// namespace.
    pub async fn add_trigger(
        &self,
        key: &Key<DatasetName>,
        spec: &TriggerSpec,
        by: &str,
    ) -> Result<TriggerInfo, Error> {
        self.put_trigger(key, spec, by, false).await
    }

    /// Adds a trigger, or changes the one of this name, which goes on where it is when it is of the same namespace.
    ///
    /// # Errors
    /// As [`Functions::add_trigger`].
    pub async fn set_trigger(
        &self,
        key: &Key<DatasetName>,
        spec: &TriggerSpec,
        by: &str,
    ) -> Result<TriggerInfo, Error> {
        self.put_trigger(key, spec, by, true).await
    }

    async fn put_trigger(
        &self,
        key: &Key<DatasetName>,
        spec: &TriggerSpec,
        by: &str,
        replace: bool,
    ) -> Result<TriggerInfo, Error> {
        spec.check(&key.0).map_err(|why| Error::Invalid { why })?;
        let of = namespace(spec, &key.0)?;
        let Shared { registry, live, .. } = &*self.shared;
        let now = self.now_at(&of).await?;
        let made = registry.add_trigger(key, spec, now, by, replace).await?;
        live.seen(&key.0.project, made.seq).await?;
        Ok(made.what)
    }

    /// Removes a trigger. What is being told goes on to its end.
    ///
    /// # Errors
    /// [`Error::NoTrigger`]; [`Error::Kept`].
    pub async fn remove_trigger(&self, key: &Key<DatasetName>) -> Result<(), Error> {
        let made = self.shared.registry.remove_trigger(key).await?;
        self.shared.live.seen(&key.0.project, made.seq).await
    }

    /// The triggers of a project, by function and name.
    ///
    /// # Errors
    /// [`Error::Kept`].
    pub async fn triggers(&self, project: &ProjectName) -> Result<Vec<TriggerInfo>, Error> {
        self.shared.registry.triggers(project).await
    }

    /// Tells one trigger's function what there is; when it is to be looked at again.
    pub(super) async fn trigger_turn(&self, key: &Key<DatasetName>) -> Option<u64> {
        let registry = &self.shared.registry;
        let found = match registry.trigger(key).await {
            Ok(Some(found)) => found,
            Ok(None) => return None,
            Err(error) => {
                let (function, name) = key;
                tracing::warn!(%function, trigger = %name, %error, "a trigger is looked at again");
                return Some(registry.now_ms() + RETRY_MS);
            }
        };
        let (made, mut told) = found;
        if told.again_ms > registry.now_ms() {
            return Some(told.again_ms);
        }
        let ended = self.tell(key, &made.spec, made.made_ms, &mut told).await;
        let Err(why) = ended else { return Some(0) };
        told.failures += 1;
        let pause = (RETRY_MS << told.failures.min(10)).min(PAUSE_MS_MAX) / 2;
        (told.error, told.again_ms) = (Some(why), registry.now_ms() + pause);
        if let Err(error) = registry.set_told(key, made.made_ms, &told).await {
            let (function, name) = key;
            tracing::warn!(%function, trigger = %name, %error, "a trigger's failure is not kept");
        }
        Some(told.again_ms)
    }

    /// Waits for what changes, and tells it part by part (FUNCTIONS-10); why it could not.
    async fn tell(
        &self,
        key: &Key<DatasetName>,
        spec: &TriggerSpec,
        made_ms: u64,
        told: &mut ToldRow,
    ) -> Result<(), String> {
        let kept = |error: Error| error.to_string();
        let of = namespace(spec, &key.0).map_err(kept)?;
        let Shared { registry, env, .. } = &*self.shared;
        let until = env.clock.monotonic() + TURN;
        let mut at = Seq(told.seq);
        while env.clock.monotonic() < until {
            self.may_read(&key.0, &of).await.map_err(|error| error.to_string())?;
            for part in self.next_parts(&of, spec, at).await? {
                at = part.upto;
                if part.lines.is_empty() && told.failures == 0 {
                    continue;
                }
                // What was removed is told no more.
                let there = registry.trigger(key).await.map_err(kept)?;
                if there.is_none_or(|(made, _)| made.made_ms != made_ms) {
                    return Ok(());
                }
                if !part.lines.is_empty() {
                    self.told_part(key, (spec, &of), part, told.failures).await?;
                }
                *told = ToldRow { seq: at.0, ..ToldRow::default() };
                registry.set_told(key, made_ms, told).await.map_err(kept)?;
            }
        }
        // What went by without a change for it is not looked at again.
        if at.0 > told.seq {
            told.seq = at.0;
            registry.set_told(key, made_ms, told).await.map_err(kept)?;
        }
        Ok(())
    }

    async fn next_parts(
        &self,
        of: &Namespace,
        spec: &TriggerSpec,
        at: Seq,
    ) -> Result<Vec<Told>, String> {
        match self.changes(of, spec, at).await {
            Ok(Changes { changes, upto, .. }) => Ok(parts(&changes, at, upto)),
            Err(KvError::Partition(PartitionError::Gone { .. })) => {
                let now = self.now_at(of).await.map_err(|error| error.to_string())?;
                Ok(vec![missed(at, now)])
            }
            Err(error) => Err(error.to_string()),
        }
    }

    /// The last commit of a namespace, here or in the bucket.
    pub(super) async fn now_at(&self, of: &Namespace) -> Result<Seq, KvError> {
        let Shared { kv, kv_in_bucket, .. } = &*self.shared;
        match kv.status(of).await {
            Err(error) if is_elsewhere(&error) => kv_in_bucket.status(of).await,
            known => known,
        }
        .map(|info| info.durable_seq)
    }

    /// Whether the function may read the namespace, as of now (FUNCTIONS-4).
    async fn may_read(
        &self,
        function: &Function,
        of: &Namespace,
    ) -> Result<(), cairn_access::Error> {
        let visit = admitted(self.judge(), function, "trigger").await?;
        let resource = Resource::Dataset(of.project.clone(), of.name.clone());
        visit.authorize_counted(Action::ReadKeys, &resource).map(drop)
    }

    /// What changed after a commit, here or in the bucket; nothing when nothing did for a while.
    async fn changes(
        &self,
        of: &Namespace,
        spec: &TriggerSpec,
        after: Seq,
    ) -> Result<Changes, KvError> {
        let Shared { kv, kv_in_bucket, env, .. } = &*self.shared;
        let here = async { kv.follow(of, spec.range(), Some(after)).await?.next(WAIT).await };
        match here.await {
            Err(error) if is_elsewhere(&error) => {
                let others = kv_in_bucket.follow(of, spec.range(), Some(after)).await;
                let changes = others?.next(Duration::ZERO).await?;
                if changes.changes.is_empty() {
                    env.clock.sleep(OTHERS_EVERY).await;
                }
                Ok(changes)
            }
            found => found,
        }
    }

    async fn told_part(
        &self,
        (function, name): &Key<DatasetName>,
        (spec, of): (&TriggerSpec, &Namespace),
        part: Told,
        failures: u32,
    ) -> Result<(), String> {
        let said = |error: Error| error.to_string();
        if self.kind(function).await.map_err(said)? == Kind::Command {
            let arguments = vec![function.name.to_string(), name.to_string()];
            let inputs = vec![held(part.lines)];
            let call = Call { arguments, inputs, ..Call::default() };
            let done = self.run(function, call).await.map_err(said)?;
            return if done.exit == 0 { Ok(()) } else { Err(format!("exit code {}", done.exit)) };
        }
        let values = [name.to_string(), of.to_string(), (failures + 1).to_string()];
        let told = HEADERS.into_iter().zip(values).collect();
        let media_type = Some("application/x-ndjson");
        let post = Post { path: &spec.path, told, media_type, input: part.lines };
        let (parts, _) = self.post(function, post, None).await.map_err(said)??;
        let status = parts.status;
        if status.is_success() { Ok(()) } else { Err(format!("status {}", status.as_u16())) }
    }
}

fn namespace(spec: &TriggerSpec, function: &Function) -> Result<Namespace, Error> {
    let why = format!("{:?} is no namespace", spec.namespace);
    spec.of(function).ok_or(Error::Invalid { why })
}
