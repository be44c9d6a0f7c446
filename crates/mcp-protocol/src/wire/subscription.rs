//! What a client listens to (2026-07-28, basic/patterns/subscriptions; tasks extension, task status notifications).

use serde::{Deserialize, Serialize};

use super::ResultFrame;

/// The kinds of change that a listener wants, and those that the server agrees to send.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SubscriptionFilter {
    /// `notifications/tools/list_changed`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tools_list_changed: bool,
    /// `notifications/prompts/list_changed`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub prompts_list_changed: bool,
    /// `notifications/resources/list_changed`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub resources_list_changed: bool,
    /// `notifications/resources/updated` of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resource_subscriptions: Vec<String>,
    /// `notifications/tasks` of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub task_ids: Vec<String>,
}

/// The parameters of `subscriptions/listen`, without `_meta`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ListenParams {
    /// What to send.
    pub notifications: SubscriptionFilter,
}

/// The parameters of `resources/subscribe`, `resources/unsubscribe` and `notifications/resources/updated`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceParams {
    /// Which resource.
    pub uri: String,
}

/// The result of `subscriptions/listen`, when the server ends the subscription itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ListenResult {
    /// Modern members; `_meta` names the subscription.
    #[serde(flatten)]
    pub frame: ResultFrame,
}
