// Opens a policy from a record, approves it, and cancels it: all by Temporal's Go SDK.
package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"

	"example.com/policy-sync-from-go/sealing"
)

const patience = 60 * time.Second

type answer struct {
	Revision int    `json:"revision"`
	Outcome  string `json:"outcome"`
}

type status struct {
	State          string `json:"state"`
	Sync           string `json:"sync"`
	SyncedRevision int    `json:"synced_revision"`
	Block          *struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	} `json:"block"`
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: go run . RECORD.json POLICY_CODE")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(file, policyCode string) error {
	record, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	temporalClient, err := connect()
	if err != nil {
		return err
	}
	defer temporalClient.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()

	policy, err := open(ctx, temporalClient, record)
	if err != nil {
		return err
	}
	if err := policy.approve(ctx, policyCode); err != nil {
		return err
	}
	return policy.cancel(ctx, "asked for by the user")
}

// connect reads TEMPORAL_* as Temporal's own tools have them, and POLICY_SYNC_KEYS.
func connect() (client.Client, error) {
	options, err := envconfig.LoadDefaultClientOptions()
	if err != nil {
		return nil, err
	}
	options.Logger = log.NewStructuredLogger(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})))
	if setting, set := os.LookupEnv("POLICY_SYNC_KEYS"); set {
		keys, err := sealing.ParseKeys(setting)
		if err != nil {
			return nil, err
		}
		codec := sealing.Codec{Keys: keys, AllowPlain: os.Getenv("POLICY_SYNC_ALLOW_PLAIN") == "1"}
		options.DataConverter = converter.NewCodecDataConverter(converter.GetDefaultDataConverter(), codec)
		options.FailureConverter = temporal.NewDefaultFailureConverter(temporal.DefaultFailureConverterOptions{
			DataConverter:          options.DataConverter,
			EncodeCommonAttributes: true,
		})
	}
	return client.Dial(options)
}

// policy is one whose workflow has been started.
type policy struct {
	temporal   client.Client
	number     string
	workflowID string
}

// open starts the policy's workflow and waits until its number is claimed. The same record again answers the same.
func open(ctx context.Context, temporalClient client.Client, record []byte) (*policy, error) {
	var names struct {
		Mchid  string `json:"mchid"`
		Policy struct {
			OutInsuranceNo string `json:"out_insurance_no"`
		} `json:"policy"`
	}
	if err := json.Unmarshal(record, &names); err != nil {
		return nil, fmt.Errorf("the record is no JSON: %w", err)
	}
	number := names.Policy.OutInsuranceNo
	p := &policy{temporalClient, number, "policy/" + names.Mchid + "/" + number}
	sum := sha256.Sum256(record)
	digest := map[string]string{"digest": hex.EncodeToString(sum[:])}
	start := temporalClient.NewWithStartWorkflowOperation(client.StartWorkflowOptions{
		ID:                       p.workflowID,
		TaskQueue:                "policy-sync",
		WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
		WorkflowIDReusePolicy:    enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE,
	}, "policyLifecycle", json.RawMessage(record), digest)
	handle, err := temporalClient.UpdateWithStartWorkflow(ctx, client.UpdateWithStartWorkflowOptions{
		StartWorkflowOperation: start,
		UpdateOptions: client.UpdateWorkflowOptions{
			UpdateID:     digest["digest"],
			UpdateName:   "open",
			Args:         []any{digest},
			WaitForStage: client.WorkflowUpdateStageCompleted,
		},
	})
	return p, p.answered(ctx, "opened", handle, err)
}

// approve tells that the insurer has taken the risk, and waits until WeChat Pay holds it.
func (p *policy) approve(ctx context.Context, policyCode string) error {
	handle, err := p.temporal.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{
		WorkflowID:   p.workflowID,
		UpdateName:   "approve",
		Args:         []any{map[string]string{"policy_code": policyCode, "event_id": "approve-" + p.number}},
		WaitForStage: client.WorkflowUpdateStageCompleted,
	})
	return p.answered(ctx, "approved", handle, err)
}

// cancel tells that the user surrenders. A signal needs no worker to be taken, and has no answer.
func (p *policy) cancel(ctx context.Context, reason string) error {
	message := map[string]string{"cause": "SURRENDER", "reason": reason, "event_id": "surrender-" + p.number}
	if err := p.temporal.SignalWorkflow(ctx, p.workflowID, "", "cancel", message); err != nil {
		return err
	}
	fmt.Printf("%s cancelled: signal sent\n", p.number)
	return p.wait(ctx, func(s status) bool { return s.State == "INACTIVE" && s.Sync == "SYNCED" })
}

// answered prints the answer to an update, and waits until WeChat Pay holds its revision.
func (p *policy) answered(ctx context.Context, what string, handle client.WorkflowUpdateHandle, err error) error {
	if err != nil {
		return err
	}
	var answer answer
	if err := handle.Get(ctx, &answer); err != nil {
		return err
	}
	fmt.Printf("%s %s: %s, revision %d\n", p.number, what, answer.Outcome, answer.Revision)
	return p.wait(ctx, func(s status) bool { return s.SyncedRevision >= answer.Revision })
}

// wait asks for the status until it is as wanted, or waits for a person.
func (p *policy) wait(ctx context.Context, done func(status) bool) error {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(500 * time.Millisecond) {
		var now status
		value, err := p.temporal.QueryWorkflow(ctx, p.workflowID, "", "status")
		if err != nil {
			return err
		}
		if err := value.Get(&now); err != nil {
			return err
		}
		if done(now) {
			fmt.Printf("%s is %s, %s\n", p.number, now.State, now.Sync)
			return nil
		}
		if now.Sync == "BLOCKED" && now.Block != nil {
			return fmt.Errorf("%s is BLOCKED: %s %s", p.number, now.Block.Code, now.Block.Message)
		}
		if now.Sync == "DIVERGED" || now.Sync == "STOPPED" {
			return fmt.Errorf("%s is %s: see `policy-sync show %s`", p.number, now.Sync, p.number)
		}
	}
	return errors.New(p.number + " is not with WeChat Pay yet; it goes on: see its status")
}
