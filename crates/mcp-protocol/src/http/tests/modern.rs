use insta::assert_json_snapshot;
use serde_json::{Value, json};

use super::{Headers, Web, body};
use crate::testing::{Probe, builder, server};
use crate::wire::CallToolResult;
use crate::{Limits, Server, ToolError};

async fn web() -> Web {
    Web::start(server(&Probe::new())).await
}

#[tokio::test]
async fn discover() {
    let response = web().await.modern("server/discover", json!({})).send().await.expect("an answer");
    assert_eq!(response.status(), 200);
    assert!(!response.headers().contains_key("mcp-session-id"), "the modern era has no sessions");
    assert_json_snapshot!(body(response).await, @r##"
    {
      "jsonrpc": "2.0",
      "id": 1,
      "result": {
        "supportedVersions": [
          "2026-07-28"
        ],
        "capabilities": {
          "tools": {
            "listChanged": true
          },
          "logging": {}
        },
        "instructions": "Say hello.",
        "resultType": "complete",
        "ttlMs": 60000,
        "cacheScope": "public",
        "_meta": {
          "io.modelcontextprotocol/serverInfo": {
            "name": "test",
            "version": "1.2.3"
          }
        }
      }
    }
    "##);
}

#[tokio::test]
async fn list() {
    let response = web().await.modern("tools/list", json!({})).send().await.expect("an answer");
    let mut answer = body(response).await;
    let tools = answer["result"]["tools"].take();
    assert_json_snapshot!(answer["result"], @r##"
    {
      "tools": null,
      "resultType": "complete",
      "ttlMs": 60000,
      "cacheScope": "public",
      "_meta": {
        "io.modelcontextprotocol/serverInfo": {
          "name": "test",
          "version": "1.2.3"
        }
      }
    }
    "##);
    assert_json_snapshot!(tools[0], @r##"
    {
      "name": "echo",
      "description": "Says it back.",
      "inputSchema": {
        "type": "object",
        "properties": {
          "text": {
            "type": "string",
            "description": "What to say."
          },
          "times": {
            "type": "integer",
            "minimum": 0
          }
        },
        "required": [
          "text"
        ],
        "additionalProperties": false
      },
      "outputSchema": {
        "type": "object",
        "properties": {
          "text": {
            "type": "string"
          },
          "note": {
            "type": "string"
          }
        },
        "required": [
          "text"
        ]
      }
    }
    "##);
}

#[tokio::test]
async fn calls() {
    let web = web().await;
    let params = json!({"name": "echo", "arguments": {"text": "hi", "times": 2.0}});
    let answer = body(web.modern("tools/call", params).send().await.expect("an answer")).await;
    assert_json_snapshot!(answer, @r##"
    {
      "jsonrpc": "2.0",
      "id": 1,
      "result": {
        "content": [
          {
            "type": "text",
            "text": "{\"text\":\"hihi\"}"
          }
        ],
        "structuredContent": {
          "text": "hihi"
        },
        "resultType": "complete",
        "_meta": {
          "io.modelcontextprotocol/serverInfo": {
            "name": "test",
            "version": "1.2.3"
          }
        }
      }
    }
    "##);

    let params = json!({"name": "fault", "arguments": {"kind": "error"}});
    let answer = body(web.modern("tools/call", params).send().await.expect("an answer")).await;
    assert_json_snapshot!(answer["result"], @r##"
    {
      "content": [
        {
          "type": "text",
          "text": "it failed; try again"
        }
      ],
      "isError": true,
      "resultType": "complete",
      "_meta": {
        "io.modelcontextprotocol/serverInfo": {
          "name": "test",
          "version": "1.2.3"
        },
        "error": {
          "code": "no_luck",
          "message": "it failed",
          "remedy": "try again",
          "data": {
            "n": 1
          }
        }
      }
    }
    "##);

    let result: CallToolResult = serde_json::from_value(answer["result"].clone()).expect("a result");
    let error = ToolError::new("no_luck", "it failed").remedy("try again").data(json!({"n": 1}));
    assert_eq!(result.tool_error(), Some(error), "programs get it back");

    let params = json!({"name": "echo", "arguments": {"txt": "hi"}});
    let answer = body(web.modern("tools/call", params).send().await.expect("an answer")).await;
    assert_json_snapshot!(answer["result"], @r##"
    {
      "content": [
        {
          "type": "text",
          "text": "`txt` is not an argument; did you mean `text`?; `text` is required"
        }
      ],
      "isError": true,
      "resultType": "complete",
      "_meta": {
        "io.modelcontextprotocol/serverInfo": {
          "name": "test",
          "version": "1.2.3"
        },
        "error": {
          "code": "invalid_arguments",
          "message": "`txt` is not an argument; did you mean `text`?; `text` is required",
          "data": {
            "problems": [
              {
                "field": "txt",
                "message": "is not an argument; did you mean `text`?"
              },
              {
                "field": "text",
                "message": "is required"
              }
            ]
          }
        }
      }
    }
    "##);
}

#[tokio::test]
async fn a_panic_is_an_internal_error() {
    let params = json!({"name": "fault", "arguments": {"kind": "panic"}});
    let answer = body(web().await.modern("tools/call", params).send().await.expect("an answer")).await;
    assert_eq!(answer["error"]["code"], -32603);
}

#[tokio::test]
async fn unknown_tools_name_the_nearest() {
    let params = json!({"name": "ecco", "arguments": {}});
    let response = web().await.modern("tools/call", params).send().await.expect("an answer");
    let answer = body(response).await;
    assert_eq!(answer["error"]["code"], -32602);
    assert_eq!(answer["error"]["data"]["nearest"], "echo");
}

async fn page(web: &Web, params: Value) -> Value {
    body(web.modern("tools/list", params).send().await.expect("an answer")).await
}

#[tokio::test]
async fn pages() {
    let limits = Limits { page_size: 2, ..Limits::default() };
    let server: Server = builder(&Probe::new()).limits(limits).build().expect("a server");
    let web = Web::start(server).await;
    let mut names = Vec::new();
    let mut params = json!({});
    loop {
        let answer = page(&web, params).await;
        let tools = answer["result"]["tools"].as_array().expect("tools").clone();
        names.extend(tools.iter().map(|tool| tool["name"].as_str().expect("a name").to_owned()));
        match &answer["result"]["nextCursor"] {
            Value::Null => break,
            cursor => params = json!({ "cursor": cursor }),
        }
    }
    assert_eq!(names, ["echo", "count", "hang", "fault", "region"]);
    for cursor in ["", "nonsense", "dG9vbHM6OTk5", "dG9vbHM6LTE"] {
        let answer = page(&web, json!({ "cursor": cursor })).await;
        assert_eq!(answer["error"]["code"], -32602, "{cursor}: {answer}");
    }
}

#[tokio::test]
async fn headers_repeat_arguments_where_the_schema_says_so() {
    let web = web().await;
    let cases: &[(Value, Headers<'_>, Option<i64>)] = &[
        (json!({"region": "eu", "shard": 4}), &[("mcp-param-region", "eu"), ("mcp-param-shard", "4")], None),
        (
            json!({"region": "eu", "shard": 4}),
            &[("mcp-param-region", "eu"), ("mcp-param-shard", "4.0")],
            None,
        ),
        (json!({"region": "\u{e4}"}), &[("mcp-param-region", "=?base64?w6Q=?=")], None),
        (json!({"region": null}), &[], None),
        (json!({}), &[], None),
        (json!({"region": "eu"}), &[], Some(-32020)),
        (json!({"region": "eu"}), &[("mcp-param-region", "us")], Some(-32020)),
        (json!({"region": "eu"}), &[("mcp-param-region", "=?base64?%%?=")], Some(-32020)),
        (json!({}), &[("mcp-param-region", "eu")], Some(-32020)),
    ];
    for (arguments, headers, code) in cases {
        let params = json!({"name": "region", "arguments": arguments});
        let mut request = web.modern("tools/call", params);
        for (name, value) in *headers {
            request = request.header(*name, *value);
        }
        let answer = body(request.send().await.expect("an answer")).await;
        assert_eq!(answer["error"]["code"].as_i64(), *code, "{arguments} {headers:?}: {answer}");
    }
}
