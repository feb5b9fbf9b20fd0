package v1

import (
	"context"
	"errors"
	"io"
	"mime/multipart"
	"net/http"
	"slices"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/httpapi"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/submit"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/httpx"
	"github.com/expo-free-agent/freeagent/shared/text"
)

// resultUpload is a worker's report of the end of its build. Ids, outcome and result arrive in any
// order.
type resultUpload struct {
	h      workers
	r      *http.Request
	fields map[string]string
	// build is set once both ids have arrived and the worker holds the build.
	build *schedulerv1.Build
	// result is the id of the stored result, unassigned if it arrived before the ids.
	result     string
	unassigned bool
	// objects were requested from the artifact service, whether or not their bytes have arrived.
	objects submit.Draft
}

// upload ends a build as the worker that holds it reports. A failed upload leaves nothing behind.
func (h workers) upload(w http.ResponseWriter, r *http.Request) {
	b := httpapi.NewBody(w, r, h.MaxResultBytes)
	b.EnableFullDuplex()
	d := &resultUpload{h: h, r: r, fields: map[string]string{}}
	status, err := d.receive(b)
	if err == nil {
		httpx.WriteJSON(w, http.StatusOK, map[string]string{"status": status})
		return
	}
	h.Submits.Discard(r.Context(), &d.objects)
	h.FailAndDrain(w, r, httpapi.V1, b, err)
}

// receive reads the form and ends the build.
func (d *resultUpload) receive(b *httpapi.Body) (status string, err error) {
	if d.r.ContentLength > d.h.MaxResultBytes {
		return "", httpx.Refuse(build.ErrTooLarge, httpapi.MsgResultLarge)
	}
	d.r.Body = b
	parts, err := d.r.MultipartReader()
	if err != nil {
		return "", httpx.Refuse(build.ErrInvalid, httpapi.MsgMultipart)
	}
	for range submit.MaxParts {
		part, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			if err := b.Drain(); err != nil {
				return "", resultBodyError(err)
			}
			return d.finish()
		}
		if err == nil {
			err = d.part(part)
		} else {
			err = resultBodyError(err)
		}
		if err != nil {
			return "", err
		}
	}
	return "", httpx.Refuse(build.ErrInvalid, "The form has more than %d parts", submit.MaxParts)
}

// resultBodyError is httpapi.BodyError with the message for results.
func resultBodyError(err error) error {
	if err := httpapi.BodyError(err); !isTooLarge(err) {
		return err
	}
	return httpx.Refuse(build.ErrTooLarge, httpapi.MsgResultLarge)
}

func isTooLarge(err error) bool { return errors.Is(err, build.ErrTooLarge) }

func (d *resultUpload) part(part *multipart.Part) (err error) {
	name := part.FormName()
	switch {
	case name == "result" && part.FileName() != "" && d.result == "" && d.fields["success"] != "false":
		return d.store(part)
	case part.FileName() == "" && name == "error_message":
		d.fields[name], err = submit.ReadText(part)
		return err
	case part.FileName() == "" && slices.Contains([]string{"build_id", "worker_id", "success"}, name):
		d.fields[name], err = submit.ReadField(part, name)
		return err
	}
	if _, err := io.Copy(io.Discard, part); err != nil {
		return resultBodyError(err)
	}
	return nil
}

// store streams the result to the artifact service. If the ids have arrived, it first checks that
// the worker holds the build.
func (d *resultUpload) store(part *multipart.Part) error {
	req := &artifactv1.UploadRequest{BuildId: build.NewID(), Kind: artifactv1.Kind_KIND_RESULT, Name: text.Clean(part.FileName())}
	if d.fields["build_id"] != "" && d.fields["worker_id"] != "" {
		if err := d.identify(); err != nil {
			return err
		}
		req.BuildId, req.Attempt, req.Project = d.build.GetId(), d.build.GetAttempt(), d.build.GetProject()
	}
	file := httpapi.TrackErrors(part)
	ref, err := d.h.Objects.Upload(d.r.Context(), d.objects.AddObject, req, file)
	if err == nil {
		d.result, d.unassigned = ref.GetObjectId(), req.GetAttempt() == 0
		return nil
	}
	if broken := file.Broken(); broken != nil { // the client's error, whatever the artifact service made of it
		return resultBodyError(broken)
	}
	if isTooLarge(err) {
		return httpx.Refuse(build.ErrTooLarge, httpapi.MsgResultLarge)
	}
	return err
}

// identify finds the build and checks that the worker holds it.
func (d *resultUpload) identify() error {
	id, worker := d.fields["build_id"], d.fields["worker_id"]
	if id == "" || worker == "" {
		return httpx.Refuse(build.ErrInvalid, httpapi.MsgUploadIDs)
	}
	b, err := d.h.Farm.Build(d.r.Context(), id)
	if err != nil {
		return err
	}
	if b.GetWorkerId() == worker && build.State(b.GetState()).Leased() {
		d.build = b
		d.h.Farm.RenewLease(d.r.Context(), b)
		return nil
	}
	if _, err := d.h.Farm.Worker(d.r.Context(), worker); err != nil {
		return err
	}
	return httpx.Refuse(httpapi.ErrForbidden, httpapi.MsgNotHolder)
}

// finish reports the end to the scheduler, which decides whether the worker may.
func (d *resultUpload) finish() (status string, err error) {
	if d.build == nil {
		if err := d.identify(); err != nil {
			return "", err
		}
	}
	// From here on a disconnect of the client must not leave the outcome unknown.
	ctx := context.WithoutCancel(d.r.Context())
	b := d.build
	req := &schedulerv1.FinishRequest{
		WorkerId: b.GetWorkerId(), BuildId: b.GetId(), Attempt: b.GetAttempt(),
		Outcome: schedulerv1.FinishRequest_OUTCOME_FAILED, Error: d.fields["error_message"],
	}
	status = "failed"
	switch {
	case d.fields["success"] == "true" && d.result != "":
		status, req.Outcome, req.Error, req.ResultObjectId = "success", schedulerv1.FinishRequest_OUTCOME_COMPLETED, "", d.result
		if err := d.assign(ctx); err != nil {
			return "", err
		}
	case d.fields["success"] == "true" && req.Error == "":
		req.Error = "The worker reported success and sent no result"
	}
	if _, err := d.h.Farm.SchedulerFor(b.GetWorkerId()).Finish(ctx, req); err != nil {
		// Without an answer the build may be completed with this result: then the artifact
		// service's janitor decides.
		d.objects.BuildID, d.objects.Requested = b.GetId(), errors.Is(err, build.ErrUnavailable)
		return "", err
	}
	d.h.Farm.ForgetLease(b.GetId())
	if status == "failed" {
		d.h.Submits.Discard(ctx, &d.objects)
	}
	return status, nil
}

func (d *resultUpload) assign(ctx context.Context) error {
	if !d.unassigned {
		return nil
	}
	_, err := d.h.Farm.Artifact.Assign(ctx, &artifactv1.AssignRequest{
		ObjectId: d.result, BuildId: d.build.GetId(), Attempt: d.build.GetAttempt(),
	})
	return err
}
