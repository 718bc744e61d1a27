package com.example.policysync;

import io.temporal.client.WorkflowClient;
import io.temporal.client.WorkflowClientOptions;
import io.temporal.client.WorkflowException;
import io.temporal.common.converter.CodecDataConverter;
import io.temporal.common.converter.DefaultDataConverter;
import io.temporal.envconfig.ClientConfigProfile;
import io.temporal.failure.ApplicationFailure;
import io.temporal.serviceclient.WorkflowServiceStubs;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;

/** Opens a policy from a record, approves it, and cancels it: all by Temporal's Java SDK. */
public final class PolicyLife {
  private PolicyLife() {}

  public static void main(String[] arguments) {
    if (arguments.length != 2) {
      System.err.println("usage: PolicyLife RECORD.json POLICY_CODE");
      System.exit(2);
    }
    try {
      live(Path.of(arguments[0]), arguments[1]);
    } catch (Exception error) {
      System.err.println("error: " + explained(error));
      System.exit(1);
    }
  }

  private static void live(Path file, String policyCode) throws Exception {
    byte[] json = Files.readAllBytes(file);
    // TEMPORAL_* as Temporal's own tools have them.
    ClientConfigProfile profile = ClientConfigProfile.load();
    WorkflowClientOptions options = sealing(profile.toWorkflowClientOptions(), System.getenv());
    WorkflowServiceStubs service = WorkflowServiceStubs.newServiceStubs(profile.toWorkflowServiceStubsOptions());
    try {
      Policy policy = new Policy(WorkflowClient.newInstance(service, options), json);
      policy.open();
      policy.approve(policyCode);
      policy.cancel("asked for by the user");
    } finally {
      service.shutdownNow();
    }
  }

  /** Payloads, and messages of failures, are sealed where POLICY_SYNC_KEYS is set. */
  private static WorkflowClientOptions sealing(WorkflowClientOptions options, Map<String, String> env) {
    String setting = env.get("POLICY_SYNC_KEYS");
    if (setting == null) {
      return options;
    }
    SealingCodec codec = new SealingCodec(Keys.parse(setting), "1".equals(env.get("POLICY_SYNC_ALLOW_PLAIN")));
    boolean encodeFailureAttributes = true;
    return options.toBuilder()
        .setDataConverter(
            new CodecDataConverter(
                DefaultDataConverter.newDefaultInstance(), List.of(codec), encodeFailureAttributes))
        .build();
  }

  /** One line. A refusal is an ApplicationFailure whose type is the broken rule. */
  private static String explained(Exception error) {
    if (error instanceof WorkflowException && error.getCause() instanceof ApplicationFailure refusal) {
      return refusal.getOriginalMessage() + " (" + refusal.getType() + ")";
    }
    if (error instanceof NoSuchFileException) {
      return error.getMessage() + ": no such file";
    }
    Throwable root = error;
    while (root.getCause() != null) {
      root = root.getCause();
    }
    return String.valueOf(root.getMessage()).lines().findFirst().orElse(root.getClass().getSimpleName());
  }
}
