//! Which job is next, and how many are before one.

use jiff::Timestamp;
use job_queue::JobState;
use sea_orm::sea_query::{
    Alias, Asterisk, Condition, Expr, ExprTrait as _, Func, Order, Query, WindowStatement,
};
use sea_orm::{
    ColumnTrait as _, ConnectionTrait, DbErr, EntityTrait as _, FromQueryResult, QueryFilter as _,
    QuerySelect as _,
};

use crate::entity::job::{Column, Entity};
use crate::time::to_millis;

const MILLIS_PER_MINUTE: i64 = 60_000;

/// The id of the job to be started, after the rules of [`JobStore::claim`](job_queue::JobStore::claim).
pub(super) async fn next(db: &impl ConnectionTrait, now: Timestamp) -> Result<Option<String>, DbErr> {
    if let Some(cancelled) = next_to_clean_up(db).await? {
        return Ok(Some(cancelled));
    }
    let Some(priority) = next_priority(db, to_millis(now)).await? else { return Ok(None) };
    next_of_priority(db, priority, to_millis(now)).await
}

/// Whether any job may be started.
pub(super) async fn is_any(db: &impl ConnectionTrait, now: Timestamp) -> Result<bool, DbErr> {
    let one = Entity::find().select_only().column(Column::Id).filter(claimable(to_millis(now))).limit(1);
    let one: Option<String> = one.into_tuple().one(db).await?;
    Ok(one.is_some())
}

/// Before all others: a job that is to be cancelled.
async fn next_to_clean_up(db: &impl ConnectionTrait) -> Result<Option<String>, DbErr> {
    let first: Option<Option<String>> = Entity::find()
        .select_only()
        .column_as(Column::Id.min(), "first")
        .filter(Column::State.eq(JobState::Queued.as_str()))
        .filter(Column::CancelRequested.eq(true))
        .into_tuple()
        .one(db)
        .await?;
    Ok(first.flatten())
}

/// Rule 1: the highest priority, where each minute that its oldest job has waited counts as one more.
async fn next_priority(db: &impl ConnectionTrait, now: i64) -> Result<Option<i32>, DbErr> {
    let waiting: Vec<(i32, i64)> = Entity::find()
        .select_only()
        .column(Column::Priority)
        .column_as(Column::RunAfter.min(), "since")
        .filter(claimable(now))
        .group_by(Column::Priority)
        .into_tuple()
        .all(db)
        .await?;
    let best = waiting.into_iter().max_by_key(|(priority, since)| {
        let minutes = now.saturating_sub(*since) / MILLIS_PER_MINUTE;
        (minutes.saturating_add((*priority).into()), *priority)
    });
    Ok(best.map(|(priority, _)| priority))
}

#[derive(FromQueryResult)]
struct Candidate {
    first: String,
    running: i64,
    last_start: Option<i64>,
}

/// Rules 2 and 3: the owner with the fewest running jobs, then the one that waits longest for a start, then
/// the oldest.
async fn next_of_priority(
    db: &impl ConnectionTrait,
    priority: i32,
    now: i64,
) -> Result<Option<String>, DbErr> {
    let other = Alias::new("other");
    let same_owner = || Expr::col((other.clone(), Column::Owner)).equals((Entity, Column::Owner));
    let running = Query::select()
        .expr(Func::count(Expr::col(Asterisk)))
        .from_as(Entity, other.clone())
        .and_where(same_owner())
        .and_where(Expr::col((other.clone(), Column::State)).eq(JobState::Running.as_str()))
        .take();
    let last_start = Query::select()
        .expr(Func::max(Expr::col((other.clone(), Column::StartedAt))))
        .from_as(Entity, other.clone())
        .and_where(same_owner())
        .take();
    let candidates: Vec<Candidate> = Entity::find()
        .select_only()
        .column_as(Column::Id.min(), "first")
        .column_as(Expr::SubQuery(None, Box::new(running.into())), "running")
        .column_as(Expr::SubQuery(None, Box::new(last_start.into())), "last_start")
        .filter(claimable(now))
        .filter(Column::Priority.eq(priority))
        .group_by(Column::Owner)
        .into_model()
        .all(db)
        .await?;
    let best = candidates.into_iter().min_by(|a, b| {
        // `None`, for an owner who never had a job started, is the least.
        (a.running, a.last_start, &a.first).cmp(&(b.running, b.last_start, &b.first))
    });
    Ok(best.map(|candidate| candidate.first))
}

fn claimable(now: i64) -> Condition {
    let due = Condition::all()
        .add(Column::RunAfter.lte(now))
        .add(Condition::any().add(Column::Deadline.is_null()).add(Column::Deadline.gt(now)));
    Condition::all()
        .add(Column::State.eq(JobState::Queued.as_str()))
        .add(Condition::any().add(Column::CancelRequested.eq(true)).add(due))
}

/// How many queued jobs are before this one, as [`JobStore::position`](job_queue::JobStore::position) counts.
pub(super) async fn position(db: &impl ConnectionTrait, id: &str) -> Result<Option<u64>, DbErr> {
    let queued = || Condition::all().add(Column::State.eq(JobState::Queued.as_str()));
    let own: Option<(String, i32)> = Entity::find_by_id(id)
        .select_only()
        .columns([Column::Owner, Column::Priority])
        .filter(queued())
        .into_tuple()
        .one(db)
        .await?;
    let Some((owner, priority)) = own else { return Ok(None) };
    let higher = count(db, queued().add(Column::Priority.gt(priority))).await?;
    let same = queued().add(Column::Priority.eq(priority));
    let own_turn = count(db, same.clone().add(Column::Owner.eq(owner)).add(Column::Id.lt(id))).await?;
    let before = count_before(db, same, own_turn, id).await?;
    Ok(Some(higher.unsigned_abs() + before.unsigned_abs()))
}

async fn count(db: &impl ConnectionTrait, condition: Condition) -> Result<i64, DbErr> {
    let count: Option<i64> = Entity::find()
        .select_only()
        .column_as(Expr::col(Asterisk).count(), "jobs")
        .filter(condition)
        .into_tuple()
        .one(db)
        .await?;
    Ok(count.unwrap_or(0))
}

/// Owners take turns, the first job of each before the second of any.
async fn count_before(db: &impl ConnectionTrait, same: Condition, turn: i64, id: &str) -> Result<i64, DbErr> {
    let (turns, number) = (Alias::new("turns"), Alias::new("turn"));
    let by_owner = WindowStatement::partition_by(Column::Owner).order_by(Column::Id, Order::Asc).take();
    let numbered = Query::select()
        .column(Column::Id)
        .expr_window_as(Func::cust(Alias::new("ROW_NUMBER")), by_owner, number.clone())
        .from(Entity)
        .cond_where(same)
        .take();
    // ROW_NUMBER counts from 1.
    let earlier_turn = Expr::col(number.clone()).lte(turn);
    let same_turn = Expr::col(number).eq(turn + 1).and(Expr::col(Column::Id).lt(id));
    let before = Query::select()
        .expr_as(Func::count(Expr::col(Asterisk)), Alias::new("before"))
        .from_subquery(numbered, turns)
        .cond_where(Condition::any().add(earlier_turn).add(same_turn))
        .take();
    db.query_one(&before).await?.map_or(Ok(0), |row| row.try_get("", "before"))
}
