package com.example.policysync;

import com.fasterxml.jackson.annotation.JsonIgnoreProperties;
import com.fasterxml.jackson.annotation.JsonProperty;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.temporal.api.enums.v1.WorkflowIdConflictPolicy;
import io.temporal.api.enums.v1.WorkflowIdReusePolicy;
import io.temporal.client.UpdateOptions;
import io.temporal.client.WorkflowClient;
import io.temporal.client.WorkflowOptions;
import io.temporal.client.WorkflowStub;
import io.temporal.client.WorkflowUpdateStage;
import java.io.IOException;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.time.Duration;
import java.time.Instant;
import java.util.HexFormat;
import java.util.Map;
import java.util.function.Predicate;

/** A policy of wechatpay-policy-sync, by its workflow. Every message waits until WeChat Pay holds what it said. */
final class Policy {
  private static final Duration PATIENCE = Duration.ofSeconds(60);
  private static final Duration PAUSE = Duration.ofMillis(500);

  @JsonIgnoreProperties(ignoreUnknown = true)
  record Answer(int revision, String outcome) {}

  @JsonIgnoreProperties(ignoreUnknown = true)
  record Block(String code, String message) {}

  @JsonIgnoreProperties(ignoreUnknown = true)
  record Status(
      String state, String sync, @JsonProperty("synced_revision") int syncedRevision, Block block) {}

  private final JsonNode record;
  private final String digest;
  private final String number;
  private final WorkflowStub workflow;

  /**
   * @param json a record as {@code policy-sync open} takes it
   */
  Policy(WorkflowClient temporal, byte[] json) throws IOException, NoSuchAlgorithmException {
    record = new ObjectMapper().readTree(json);
    digest = HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(json));
    number = record.at("/policy/out_insurance_no").asText();
    workflow =
        temporal.newUntypedWorkflowStub(
            "policyLifecycle",
            WorkflowOptions.newBuilder()
                .setWorkflowId("policy/" + record.path("mchid").asText() + "/" + number)
                .setTaskQueue("policy-sync")
                .setWorkflowIdConflictPolicy(
                    WorkflowIdConflictPolicy.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING)
                .setWorkflowIdReusePolicy(
                    WorkflowIdReusePolicy.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE)
                .build());
  }

  /** Starts the policy's workflow and waits until its number is claimed. The same record again answers the same. */
  void open() throws InterruptedException {
    Map<String, String> message = Map.of("digest", digest);
    UpdateOptions<Answer> open =
        UpdateOptions.newBuilder(Answer.class)
            .setUpdateName("open")
            .setUpdateId(digest)
            .setWaitForStage(WorkflowUpdateStage.COMPLETED)
            .build();
    answered(
        "opened",
        workflow.executeUpdateWithStart(open, new Object[] {message}, new Object[] {record, message}));
  }

  /** The insurer has taken the risk. An {@code event_id} makes the message safe to send twice. */
  void approve(String policyCode) throws InterruptedException {
    Map<String, String> message = Map.of("policy_code", policyCode, "event_id", "approve-" + number);
    answered("approved", workflow.update("approve", Answer.class, message));
  }

  /** The user surrenders. A signal needs no worker to be taken, and has no answer. */
  void cancel(String reason) throws InterruptedException {
    workflow.signal(
        "cancel", Map.of("cause", "SURRENDER", "reason", reason, "event_id", "surrender-" + number));
    System.out.println(number + " cancelled: signal sent");
    await(status -> status.state().equals("INACTIVE") && status.sync().equals("SYNCED"));
  }

  private void answered(String what, Answer answer) throws InterruptedException {
    System.out.printf("%s %s: %s, revision %d%n", number, what, answer.outcome(), answer.revision());
    await(status -> status.syncedRevision() >= answer.revision());
  }

  /** Asks for the status until it is as wanted, or waits for a person. */
  private void await(Predicate<Status> done) throws InterruptedException {
    for (Instant end = Instant.now().plus(PATIENCE); Instant.now().isBefore(end); Thread.sleep(PAUSE.toMillis())) {
      Status status = workflow.query("status", Status.class);
      if (done.test(status)) {
        System.out.printf("%s is %s, %s%n", number, status.state(), status.sync());
        return;
      }
      if (status.sync().equals("BLOCKED") && status.block() != null) {
        throw new IllegalStateException(
            number + " is BLOCKED: " + status.block().code() + " " + status.block().message());
      }
      if (status.sync().equals("DIVERGED") || status.sync().equals("STOPPED")) {
        throw new IllegalStateException(
            number + " is " + status.sync() + ": see `policy-sync show " + number + "`");
      }
    }
    throw new IllegalStateException(number + " is not with WeChat Pay yet; it goes on: see its status");
  }
}
