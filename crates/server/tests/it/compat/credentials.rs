//! The forms of a key in a request, and the two classic mistakes.

use base64::{Engine, engine::general_purpose::STANDARD};
use customer_settings_server::{auth::api_key::Secret, catalog::access::Task};
use serde_json::json;
use tonic::Code;

use super::TAGS;
use crate::harness::*;

/// The answers of HTTP and gRPC to this `Authorization`, which must be the same.
async fn ask_with(server: &Server, authorization: &str) -> Result<(), Refusal> {
    let method = method("ListCustomerTags");
    let metadata = [("authorization", authorization)];
    let over_grpc = server.grpc(&method, &metadata, &json!({"companyId": "cmp_001"})).await;
    let answer = server.post(TAGS).header("authorization", authorization).send().await;
    match over_grpc {
        Ok(_) => {
            assert_eq!(answer.status, 200, "{authorization}: {}", answer.text());
            Ok(())
        }
        Err(status) => {
            assert_eq!(answer.status, 401, "{authorization}: {}", answer.text());
            let refusal = Refusal::of_status(&status);
            assert_eq!(answer.refusal(), refusal, "{authorization}");
            assert_eq!(refusal.code, Code::Unauthenticated);
            assert!(refusal.header("www-authenticate").unwrap().starts_with("Basic realm="));
            Err(refusal)
        }
    }
}

async fn refused(server: &Server, authorization: &str) -> Refusal {
    ask_with(server, authorization).await.expect_err(authorization)
}

/// A key that this server made, and an imported key.
async fn secrets(server: &Server) -> [String; 2] {
    let imported = "pk-live-0123456789abcdefghij";
    let secret = Secret::import(imported).unwrap();
    server.services.keys.create(&Task::Local.actor(), everything(), &secret).await.unwrap();
    [server.any_key().await, imported.to_owned()]
}

#[tokio::test]
async fn basic_takes_the_secret_without_a_colon_and_on_either_side_of_one() {
    let server = Server::demo().await;
    for secret in secrets(&server).await {
        for text in
            [secret.clone(), format!("{secret}:"), format!("user:{secret}"), format!(":{secret}")]
        {
            ask_with(&server, &basic(&text)).await.unwrap();
        }
    }
}

#[tokio::test]
async fn bearer_takes_the_secret_as_it_is() {
    let server = Server::demo().await;
    for secret in secrets(&server).await {
        ask_with(&server, &format!("Bearer {secret}")).await.unwrap();
    }
}

#[tokio::test]
async fn scheme_words_are_read_in_any_case() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    for form in [basic(&secret).replace("Basic", "basic"), format!("BEARER {secret}")] {
        ask_with(&server, &form).await.unwrap();
    }
}

#[tokio::test]
async fn a_newline_or_blank_that_was_pasted_along_is_trimmed() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    for text in ["\n", "\r\n", " ", "\n:", " :", "\t\n"].map(|end| format!("{secret}{end}")) {
        ask_with(&server, &basic(&text))
            .await
            .unwrap_or_else(|error| panic!("{text:?}: {error:?}"));
    }
    ask_with(&server, &basic(&format!(" \n{secret}"))).await.unwrap();
    ask_with(&server, &basic(&format!("user: {secret}\n"))).await.unwrap();
}

#[tokio::test]
async fn base64_without_a_scheme_word_is_refused_unless_it_is_configured() {
    let server = Server::demo().await;
    let bare = STANDARD.encode(server.any_key().await);
    let refusal = refused(&server, &bare).await;
    assert_eq!(refusal.reason, "CREDENTIAL_SCHEME");
    assert!(refusal.message.contains("'Basic'"), "{}", refusal.message);

    let server = Server::configured(|config| config.accept_bare_base64 = true).await;
    for secret in secrets(&server).await {
        for text in [secret.clone(), format!("{secret}:"), format!("user:{secret}")] {
            ask_with(&server, &STANDARD.encode(text)).await.unwrap();
        }
        ask_with(&server, &basic(&secret)).await.unwrap();
    }
}

#[tokio::test]
async fn a_secret_that_was_encoded_twice_is_refused_and_told_so() {
    let server = Server::demo().await;
    for secret in secrets(&server).await {
        for once in [STANDARD.encode(&secret), STANDARD.encode(format!("{secret}:"))] {
            for twice in [basic(&once), basic(&format!("{once}\n")), format!("Bearer {once}")] {
                let refusal = refused(&server, &twice).await;
                assert_eq!(refusal.reason, "CREDENTIAL_ENCODED_TWICE", "{twice}");
            }
        }
    }
    let twice = basic(&STANDARD.encode(server.any_key().await));
    assert!(refused(&server, &twice).await.message.contains("base64-encoded twice"));
}

#[tokio::test]
async fn a_secret_that_was_not_encoded_is_refused_and_told_so() {
    let server = Server::demo().await;
    for secret in secrets(&server).await {
        for raw in [secret.clone(), format!("{secret}:"), format!("user:{secret}")] {
            let refusal = refused(&server, &format!("Basic {raw}")).await;
            assert_eq!(refusal.reason, "CREDENTIAL_NOT_ENCODED", "{raw}");
            assert!(refusal.message.contains("was not base64-encoded"), "{}", refusal.message);
        }
    }
}

#[tokio::test]
async fn refusals_never_repeat_the_secret() {
    let server = Server::demo().await;
    let secret = "pk-live-that-nobody-here-knows";
    for authorization in [
        basic(secret),
        format!("Bearer {secret}"),
        format!("Basic {secret}"),
        format!("Token {secret}"),
        basic(&STANDARD.encode(secret)),
        secret.to_owned(),
    ] {
        let refusal = refused(&server, &authorization).await;
        assert!(!format!("{refusal:?}").contains("nobody-here"), "{refusal:?}");
    }
}

#[tokio::test]
async fn what_is_no_credential_is_unauthenticated_with_a_challenge() {
    let server = Server::demo().await;
    for (authorization, reason) in [
        ("", "CREDENTIAL_EMPTY"),
        ("Basic", "CREDENTIAL_EMPTY"),
        ("Bearer", "CREDENTIAL_EMPTY"),
        ("Basic Og==", "CREDENTIAL_EMPTY"),
        ("Digest username=\"x\"", "CREDENTIAL_SCHEME"),
        ("Bearer nobody-has-this-secret-here", "UNKNOWN_KEY"),
    ] {
        assert_eq!(refused(&server, authorization).await.reason, reason, "{authorization}");
    }
    let answer = server.post(TAGS).send().await;
    assert_eq!((answer.status.as_u16(), answer.refusal().reason.as_str()), (401, "NO_CREDENTIAL"));
    assert!(answer.header("www-authenticate").is_some());
}
