use serde_json::{from_value, json, to_value};

use super::{JobError, JobId, JobState, Priority};

#[test]
fn ids_are_uuids_in_rising_order() {
    let ids: Vec<JobId> = (0..1000).map(|_| JobId::new()).collect();
    assert!(ids.is_sorted());
    let id = &ids[0];
    assert_eq!(id.to_string().parse::<JobId>().as_ref(), Ok(id));
    assert_eq!(id.as_str().to_uppercase().parse::<JobId>().as_ref(), Ok(id), "one spelling for one job");
    assert_eq!(from_value::<JobId>(to_value(id).unwrap()).unwrap(), *id);

    let without_hyphens = id.as_str().replace('-', "");
    for bad in ["", "x", "../../etc/passwd", &without_hyphens, &format!("{{{id}}}"), &"0".repeat(36)] {
        assert!(bad.parse::<JobId>().is_err(), "{bad}");
        assert!(from_value::<JobId>(json!(bad)).is_err(), "{bad}");
    }
}

#[test]
fn priorities_have_bounds() {
    for (given, expect) in [
        (0, Some(0)),
        (-100, Some(-100)),
        (100, Some(100)),
        (101, None),
        (-101, None),
        (i64::MAX, None),
        (156, None),
    ] {
        assert_eq!(Priority::new(given).ok().map(Priority::get), expect, "{given}");
        assert_eq!(from_value::<Priority>(json!(given)).ok().map(Priority::get), expect, "{given}");
    }
    assert_eq!(Priority::new(300).unwrap_err().to_string(), "the priority 300 is not between -100 and 100");
}

#[test]
fn states_have_one_name() {
    for (state, name, terminal) in [
        (JobState::Queued, "queued", false),
        (JobState::Running, "running", false),
        (JobState::Succeeded, "succeeded", true),
        (JobState::Failed, "failed", true),
        (JobState::Cancelled, "cancelled", true),
    ] {
        assert_eq!((state.as_str(), state.is_terminal()), (name, terminal));
        assert_eq!(to_value(state).unwrap(), json!(name));
        assert_eq!(name.parse(), Ok(state));
    }
    assert!("Queued".parse::<JobState>().is_err());
}

#[test]
fn an_error_reads_back() {
    for remedy in [None, Some("try again".to_owned())] {
        let error =
            JobError { code: "busy".into(), message: "no backend is free".into(), remedy, retryable: true };
        assert_eq!(from_value::<JobError>(to_value(&error).unwrap()).unwrap(), error);
    }
}
