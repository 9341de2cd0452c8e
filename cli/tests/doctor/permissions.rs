//! The function's role, its role in another account, and our own permissions.

use crate::common::{ACCOUNT, REGION};
use crate::scene::{FUNCTION, MEMBER, OPERATOR, Scene, said, unskipped};

#[tokio::test]
async fn a_role_without_permission() {
    let scene = Scene::new().await;
    scene.refuse(
        "AuthorizeSecurityGroupIngress",
        "UnauthorizedOperation",
        FUNCTION,
    );
    let wrong = format!(
        "role ec2:AuthorizeSecurityGroupIngress on {} (dry run): failed",
        scene.group
    );
    scene.only(
        1,
        &wrong,
        "refused: UnauthorizedOperation",
        "Allow ec2:AuthorizeSecurityGroupIngress in the function's role",
    );

    scene.stack.cloud().set_dials(Default::default());
    scene.refuse("UpdateItem", "AccessDeniedException", FUNCTION);
    let wrong = "role dynamodb:UpdateItem on run-time state (state#…): failed";
    scene.only(
        1,
        wrong,
        "refused: AccessDeniedException",
        "Allow dynamodb:UpdateItem",
    );

    scene.stack.cloud().set_dials(Default::default());
    scene.refuse(
        "DescribeManagedPrefixLists",
        "UnauthorizedOperation",
        FUNCTION,
    );
    let wrong = format!("role ec2:DescribeManagedPrefixLists in {ACCOUNT}/{REGION}: failed");
    scene.only(1, &wrong, "refused", "Allow ec2:DescribeManagedPrefixLists");

    // Tags are refused to everybody here.
    scene.stack.cloud().set_dials(Default::default());
    scene
        .stack
        .cloud()
        .adjust(|dials| dials.denied.insert("CreateTags".to_owned()));
    let all = scene.doctor(&[], 1);
    let role = format!("role ec2:CreateTags on {} (dry run): failed", scene.group);
    let operator = "operator look at groups and restore: warning";
    assert_eq!(unskipped(&all), [operator, role.as_str()], "{all:#?}");
    said(&all[&role], "refused", "Allow ec2:CreateTags");
}

#[tokio::test]
async fn credentials_that_may_only_read_get_warnings() {
    let scene = Scene::new().await;
    for action in ["PutItem", "UpdateItem", "DeleteItem"] {
        scene.refuse(action, "AccessDeniedException", OPERATOR);
    }
    let all = scene.doctor(&[], 0);
    let writes = "operator write records and incidents: warning";
    let settings = "operator write the settings (principal add, remove): warning";
    let delete = "operator take records out (unpin): warning";
    assert_eq!(unskipped(&all), [delete, writes, settings], "{all:#?}");
    said(
        &all[delete],
        "dynamodb:DeleteItem on the table: refused",
        "Ask for dynamodb:DeleteItem",
    );
    said(
        &all[writes],
        "dynamodb:UpdateItem on run-time state",
        "Ask for dynamodb:PutItem",
    );
}

#[tokio::test]
async fn a_role_in_another_account_that_cannot_be_assumed() {
    let scene = Scene::new().await;
    assert!(scene.doctor(&["--scope", MEMBER], 0).is_empty());
    scene.refuse("AssumeRole", "AccessDenied", FUNCTION);
    // The function's instance has the credentials of the first time.
    scene.stack.lambda().kill_instances();
    let all = scene.doctor(&["--scope", MEMBER], 1);
    let wrong = format!("member_role {MEMBER}: failed");
    assert_eq!(unskipped(&all), [&wrong], "{all:#?}");
    said(
        &all[&wrong],
        "role/rulekeeper-member could not be assumed",
        "template-member.yaml in 444455556666",
    );

    scene.stack.cloud().set_dials(Default::default());
    scene.refuse(
        "DescribeSecurityGroups",
        "UnauthorizedOperation",
        "assumed-role/rulekeeper-member",
    );
    let all = scene.doctor(&["--scope", MEMBER], 1);
    let wrong = format!("member_role ec2:DescribeSecurityGroups in {MEMBER}: failed");
    assert_eq!(unskipped(&all), [&wrong], "{all:#?}");
    said(
        &all[&wrong],
        "refused",
        "template-member.yaml has it under RestoreRole",
    );
}
