//! The store of jobs.

mod choice;
mod row;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use job_queue::{
    Counts, Enqueued, Heartbeat, Job, JobFilter, JobId, JobState, JobStore, JobSummary, Lease, NewJob,
    Outcome, StoreError, transition,
};
use sea_orm::sea_query::{Asterisk, Condition, Expr, ExprTrait as _};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DatabaseTransaction, DbErr, EntityTrait, QueryFilter,
    QueryOrder, QuerySelect, Select, TryInsertResult,
};
use serde_json::Value;
use tokio::sync::Notify;

use crate::database::Database;
use crate::entity::job::{ActiveModel, Column, Entity};
use crate::time::{as_stored, from_millis, to_millis};

/// Jobs in the database. What changes a job reads it, applies a rule, and writes it back in one transaction.
pub(crate) struct SqlJobStore {
    db: Arc<Database>,
    work: Notify,
}

impl SqlJobStore {
    pub(crate) fn new(db: Arc<Database>) -> SqlJobStore {
        SqlJobStore { db, work: Notify::new() }
    }

    fn failed(&self, error: DbErr) -> StoreError {
        StoreError::failed(self.db.explain(error))
    }

    async fn load(&self, id: &JobId, connection: &impl ConnectionTrait) -> Result<Option<Job>, StoreError> {
        let found = Entity::find_by_id(id.as_str()).one(connection).await;
        let found = found.map_err(|error| self.failed(error))?;
        found.map(row::to_job).transpose().map_err(StoreError::failed)
    }

    /// The job, if it runs under this lease.
    async fn held(&self, lease: &Lease, transaction: &DatabaseTransaction) -> Result<Job, StoreError> {
        let job = self.load(&lease.job_id, transaction).await?;
        job.filter(|job| job.state == JobState::Running && job.fence == lease.fence)
            .ok_or(StoreError::LeaseLost)
    }

    /// The jobs that match, to be changed.
    async fn load_all(
        &self,
        condition: Condition,
        transaction: &DatabaseTransaction,
    ) -> Result<Vec<Job>, StoreError> {
        let found = Entity::find().filter(condition).order_by_asc(Column::Id).all(transaction).await;
        let found = found.map_err(|error| self.failed(error))?;
        found.into_iter().map(row::to_job).collect::<Result<_, _>>().map_err(StoreError::failed)
    }

    async fn save(&self, job: &Job, transaction: &DatabaseTransaction) -> Result<(), StoreError> {
        let changed = row::changeable(job).map_err(StoreError::failed)?;
        let update = Entity::update_many().set(changed).filter(Column::Id.eq(job.id.as_str()));
        update.exec(transaction).await.map_err(|error| self.failed(error))?;
        Ok(())
    }

    async fn begin(&self) -> Result<DatabaseTransaction, StoreError> {
        self.db.begin().await.map_err(StoreError::failed)
    }

    async fn commit(&self, transaction: DatabaseTransaction) -> Result<(), StoreError> {
        self.db.commit(transaction).await.map_err(StoreError::failed)
    }
}

#[async_trait]
impl JobStore for SqlJobStore {
    async fn enqueue(&self, new: NewJob, now: Timestamp) -> Result<Enqueued, StoreError> {
        let (owner, key) = (new.owner.clone(), new.idempotency_key.clone());
        let transaction = self.begin().await?;
        // Made under the write lock: the order of ids is the order in which jobs appear.
        let new = NewJob { deadline: new.deadline.map(as_stored), ..new };
        let job = transition::queued(new, as_stored(now));
        let insert = Entity::insert(row::from_job(&job).map_err(StoreError::failed)?)
            .on_conflict_do_nothing_on([Column::Owner, Column::IdempotencyKey]);
        let inserted = insert.exec_without_returning(&transaction).await;
        if matches!(inserted.map_err(|error| self.failed(error))?, TryInsertResult::Inserted(1..)) {
            self.commit(transaction).await?;
            self.work.notify_one();
            return Ok(Enqueued::Created(job));
        }
        drop(transaction);
        let existing = self.find(&owner, key.as_deref().unwrap_or_default()).await?;
        existing
            .map(Enqueued::Existing)
            .ok_or_else(|| StoreError::failed("the existing job was pruned meanwhile"))
    }

    async fn get(&self, id: &JobId) -> Result<Option<Job>, StoreError> {
        self.load(id, &self.db.reader).await
    }

    async fn find(&self, owner: &str, idempotency_key: &str) -> Result<Option<Job>, StoreError> {
        let found = Entity::find()
            .filter(Column::Owner.eq(owner))
            .filter(Column::IdempotencyKey.eq(idempotency_key))
            .one(&self.db.reader)
            .await
            .map_err(|error| self.failed(error))?;
        found.map(row::to_job).transpose().map_err(StoreError::failed)
    }

    async fn list(&self, filter: &JobFilter) -> Result<Vec<Job>, StoreError> {
        let found = matching(filter).all(&self.db.reader).await.map_err(|error| self.failed(error))?;
        found.into_iter().map(row::to_job).collect::<Result<_, _>>().map_err(StoreError::failed)
    }

    async fn summaries(&self, filter: &JobFilter) -> Result<Vec<JobSummary>, StoreError> {
        let columns = [Column::Id, Column::Kind, Column::State, Column::CreatedAt, Column::FinishedAt];
        let found = matching(filter).select_only().columns(columns).into_tuple().all(&self.db.reader).await;
        let found = found.map_err(|error| self.failed(error))?;
        found.into_iter().map(row::to_summary).collect::<Result<_, _>>().map_err(StoreError::failed)
    }

    async fn claim(
        &self,
        worker: &str,
        lease: Duration,
        now: Timestamp,
    ) -> Result<Option<(Job, Lease)>, StoreError> {
        let now = as_stored(now);
        // Often there is nothing, and then nobody has to wait for the one who writes.
        if !choice::is_any(&self.db.reader, now).await.map_err(|error| self.failed(error))? {
            return Ok(None);
        }
        let transaction = self.begin().await?;
        let next = choice::next(&transaction, now).await.map_err(|error| self.failed(error))?;
        let Some(id) = next else { return Ok(None) };
        let id: JobId = id.parse().map_err(StoreError::failed)?;
        let Some(mut job) = self.load(&id, &transaction).await? else { return Ok(None) };
        let mut lease = transition::start(&mut job, worker, lease, now);
        lease.expires_at = as_stored(lease.expires_at);
        job.lease_expires_at = Some(lease.expires_at);
        let mut changed = row::changeable(&job).map_err(StoreError::failed)?;
        changed.worker = Set(Some(worker.to_owned()));
        let update = Entity::update_many().set(changed).filter(Column::Id.eq(id.as_str()));
        update.exec(&transaction).await.map_err(|error| self.failed(error))?;
        self.commit(transaction).await?;
        Ok(Some((job, lease)))
    }

    async fn heartbeat(
        &self,
        lease: &Lease,
        extend: Duration,
        now: Timestamp,
    ) -> Result<Heartbeat, StoreError> {
        let expires_at = as_stored(transition::expiry(as_stored(now), extend));
        let transaction = self.begin().await?;
        let changed =
            ActiveModel { lease_expires_at: Set(Some(to_millis(expires_at))), ..ActiveModel::default() };
        let update = Entity::update_many().set(changed).filter(is_held(lease));
        let done = update.exec(&transaction).await.map_err(|error| self.failed(error))?;
        if done.rows_affected == 0 {
            return Err(StoreError::LeaseLost);
        }
        let flag = Entity::find_by_id(lease.job_id.as_str()).select_only().column(Column::CancelRequested);
        let flag: Option<bool> =
            flag.into_tuple().one(&transaction).await.map_err(|error| self.failed(error))?;
        self.commit(transaction).await?;
        let lease = Lease { expires_at, ..lease.clone() };
        Ok(Heartbeat { lease, cancel_requested: flag.unwrap_or(false) })
    }

    async fn checkpoint(&self, lease: &Lease, value: Value) -> Result<(), StoreError> {
        let changed = ActiveModel { checkpoint: Set(Some(value.to_string())), ..ActiveModel::default() };
        let update = Entity::update_many().set(changed).filter(is_held(lease));
        let done = update.exec(&self.db.writer).await.map_err(|error| self.failed(error))?;
        if done.rows_affected == 0 { Err(StoreError::LeaseLost) } else { Ok(()) }
    }

    async fn complete(&self, lease: &Lease, outcome: Outcome, now: Timestamp) -> Result<Job, StoreError> {
        let transaction = self.begin().await?;
        let mut job = self.held(lease, &transaction).await?;
        transition::complete(&mut job, outcome, as_stored(now));
        job.run_after = as_stored(job.run_after);
        self.save(&job, &transaction).await?;
        self.commit(transaction).await?;
        if job.state == JobState::Queued {
            self.work.notify_one();
        }
        Ok(job)
    }

    async fn request_cancel(&self, id: &JobId, now: Timestamp) -> Result<Option<Job>, StoreError> {
        let transaction = self.begin().await?;
        let Some(mut job) = self.load(id, &transaction).await? else { return Ok(None) };
        if transition::request_cancel(&mut job, as_stored(now)) {
            self.save(&job, &transaction).await?;
            self.commit(transaction).await?;
            if job.state == JobState::Queued {
                self.work.notify_one();
            }
        }
        Ok(Some(job))
    }

    async fn reap_expired(&self, now: Timestamp) -> Result<Vec<Job>, StoreError> {
        let now = as_stored(now);
        let millis = to_millis(now);
        let lost = Condition::all().add(is(JobState::Running)).add(
            Condition::any().add(Column::LeaseExpiresAt.is_null()).add(Column::LeaseExpiresAt.lte(millis)),
        );
        let overdue = Condition::all()
            .add(is(JobState::Queued))
            .add(Column::CancelRequested.eq(false))
            .add(Column::Deadline.lte(millis));
        let either = Condition::any().add(lost).add(overdue);
        // As in `claim`.
        let some = Entity::find().select_only().column(Column::Id).filter(either.clone()).limit(1);
        let some: Option<String> =
            some.into_tuple().one(&self.db.reader).await.map_err(|error| self.failed(error))?;
        if some.is_none() {
            return Ok(Vec::new());
        }
        let transaction = self.begin().await?;
        let mut jobs = self.load_all(either, &transaction).await?;
        for job in &mut jobs {
            transition::reap(job, now);
            self.save(job, &transaction).await?;
        }
        self.commit(transaction).await?;
        if jobs.iter().any(|job| job.state == JobState::Queued) {
            self.work.notify_one();
        }
        Ok(jobs)
    }

    async fn void_leases(&self, now: Timestamp) -> Result<u64, StoreError> {
        let transaction = self.begin().await?;
        let mut jobs = self.load_all(Condition::all().add(is(JobState::Running)), &transaction).await?;
        for job in &mut jobs {
            transition::complete(job, Outcome::Released, as_stored(now));
            self.save(job, &transaction).await?;
        }
        self.commit(transaction).await?;
        self.work.notify_one();
        Ok(jobs.len() as u64)
    }

    async fn counts(&self, owner: Option<&str>) -> Result<Counts, StoreError> {
        let mut rows = Entity::find()
            .select_only()
            .column(Column::State)
            .column_as(Expr::col(Asterisk).count(), "jobs")
            .group_by(Column::State);
        if let Some(owner) = owner {
            rows = rows.filter(Column::Owner.eq(owner));
        }
        let rows: Vec<(String, i64)> =
            rows.into_tuple().all(&self.db.reader).await.map_err(|error| self.failed(error))?;
        let mut counts = Counts::default();
        for (state, count) in rows {
            let count = count.unsigned_abs();
            match state.parse().map_err(StoreError::failed)? {
                JobState::Queued => counts.queued = count,
                JobState::Running => counts.running = count,
                JobState::Succeeded => counts.succeeded = count,
                JobState::Failed => counts.failed = count,
                JobState::Cancelled => counts.cancelled = count,
            }
        }
        Ok(counts)
    }

    async fn position(&self, id: &JobId) -> Result<Option<u64>, StoreError> {
        choice::position(&self.db.reader, id.as_str()).await.map_err(|error| self.failed(error))
    }

    async fn next_run_after(&self, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        let next = Entity::find()
            .select_only()
            .column_as(Column::RunAfter.min(), "next")
            .filter(is(JobState::Queued))
            .filter(Column::RunAfter.gt(to_millis(now)));
        let next: Option<Option<i64>> =
            next.into_tuple().one(&self.db.reader).await.map_err(|error| self.failed(error))?;
        next.flatten().map(from_millis).transpose().map_err(StoreError::failed)
    }

    async fn prune(&self, finished_before: Timestamp) -> Result<u64, StoreError> {
        let old = Entity::delete_many().filter(Column::FinishedAt.lt(to_millis(finished_before)));
        let done = old.exec(&self.db.writer).await.map_err(|error| self.failed(error))?;
        Ok(done.rows_affected)
    }

    async fn wait_for_work(&self) {
        self.work.notified().await;
    }
}

fn matching(filter: &JobFilter) -> Select<Entity> {
    let mut found = Entity::find().order_by_desc(Column::Id).limit(at_most(filter.limit));
    if let Some(owner) = &filter.owner {
        found = found.filter(Column::Owner.eq(owner.as_str()));
    }
    if !filter.states.is_empty() {
        found = found.filter(Column::State.is_in(filter.states.iter().map(|state| state.as_str())));
    }
    if let Some(before) = &filter.before {
        found = found.filter(Column::Id.lt(before.as_str()));
    }
    found
}

/// A limit that the database can count to.
fn at_most(limit: usize) -> u64 {
    i64::try_from(limit).unwrap_or(i64::MAX).unsigned_abs()
}

fn is(state: JobState) -> sea_orm::sea_query::SimpleExpr {
    Column::State.eq(state.as_str())
}

fn is_held(lease: &Lease) -> Condition {
    Condition::all()
        .add(Column::Id.eq(lease.job_id.as_str()))
        .add(is(JobState::Running))
        .add(Column::Fence.eq(row::fence(lease.fence)))
}
