//! In which order subgraphs are worked on: those that stand in others first.

use std::collections::HashMap;

use super::file::Scope;
use super::{ConvertError, MAX_DEPTH};

/// The scopes that the root reaches, each after those that it includes; the root is the last.
pub(super) fn inside_out(scopes: &[Scope<'_>]) -> Result<Vec<usize>, ConvertError> {
    let by_id: HashMap<&str, usize> = scopes
        .iter()
        .enumerate()
        .skip(1)
        .rev()
        .map(|(position, scope)| (scope.id.as_ref(), position))
        .collect();
    let included = |scope: &Scope<'_>| -> Vec<usize> {
        let mut included: Vec<_> =
            scope.nodes.iter().filter_map(|node| by_id.get(node.class.as_ref()).copied()).collect();
        included.sort_unstable();
        included.dedup();
        included
    };
    let mut state = vec![State::New; scopes.len()];
    let mut order = Vec::new();
    let Some(root) = scopes.first() else { return Ok(order) };
    state[0] = State::Open;
    let mut way = vec![(0, included(root))];
    while let Some((position, pending)) = way.last_mut() {
        let Some(next) = pending.pop() else {
            state[*position] = State::Done;
            order.push(*position);
            way.pop();
            continue;
        };
        match state[next] {
            State::Done => {}
            State::Open => return Err(ConvertError::SelfIncluding { name: scopes[next].name.to_owned() }),
            State::New => {
                state[next] = State::Open;
                way.push((next, included(&scopes[next])));
                if way.len() > MAX_DEPTH {
                    return Err(ConvertError::TooDeep);
                }
            }
        }
    }
    Ok(order)
}

#[derive(Clone, Copy)]
enum State {
    New,
    Open,
    Done,
}
