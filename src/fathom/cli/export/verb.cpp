// `fathom export RUN`
#include <fmt/format.h>

#include <cstdio>
#include <optional>
#include <string_view>
#include <utility>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/base/visible.h"
#include "fathom/cli/verbs.h"
#include "fathom/exchange/hugging_face.h"
#include "fathom/io/files.h"
#include "fathom/study/asked/model_choice.h"
#include "fathom/track/console.h"
#include "fathom/track/export_metrics.h"
#include "fathom/track/stored_run.h"
#include "fathom/train/recipe/suggested_words.h"

namespace fathom {
namespace {

enum class Format { kNone, kCsv, kJsonl };

struct ExportRequest {
  std::string run;  // a name or a folder
  Format metrics = Format::kNone;
  std::string output;  // empty: standard output
  std::string hf;      // a folder; empty: no model is written
  std::string checkpoint = "auto";
  bool force = false;
};

// Standard output, or a file that appears when it is complete.
class Output {
 public:
  explicit Output(const std::string& path) {
    if (path.empty()) return;
    // It will be replaced, and /dev/null should not be.
    const PathKind kind = kind_of(path);
    if (kind == PathKind::kFolder || kind == PathKind::kStream)
      misuse(fmt::format("output = {} is not a regular file, so it is not replaced", path),
             "name a new file; without --output the text goes to standard output");
    file_.emplace(path);
  }
  void write(std::string_view text) {
    if (file_)
      file_->write(as_bytes(text));
    else
      fmt::print("{}", text);
  }
  void commit() {
    if (file_) file_->commit();
  }

 private:
  std::optional<NewFile> file_;
};

void export_numbers(const ExportRequest& request) {
  const StoredRun run = stored_run(request.run);
  const RunStore store = open_store(run);
  Output output(request.output);
  const ExportedMetrics out = export_metrics(
      store, run.name, request.metrics == Format::kCsv ? MetricFormat::kCsv : MetricFormat::kJsonl,
      [&](std::string_view text) { output.write(text); });
  output.commit();
  if (!request.output.empty())
    fmt::print("{}: {}, {} of the run {}\n", visible(request.output), counted(out.steps, "step"),
               counted(static_cast<int64_t>(out.metrics), "metric"), visible(run.name));
}

void export_model(const ExportRequest& request) {
  ModelChoice choice;
  choice.run = request.run;
  choice.checkpoint = request.checkpoint;
  settle(choice);
  const ExportReport report = export_hugging_face(choice.folder, request.hf, request.force);
  for (const std::string& notice : report.notices) say_note(notice);
  fmt::print("{}: {} of {}\n", visible(request.hf), join(report.files, ", "),
             visible(choice.folder));
}

int run_export(const Arguments& arguments) {
  CommandLine line("export", "RUN --metrics=csv|jsonl [--output=FILE] | RUN --hf=FOLDER",
                   "A run's numbers for other programs, every value in full precision, or its\n"
                   "model in Hugging Face's layout, if it is a GPT-2.\n\n"
                   "csv: a header of `step` and the metrics' names, a row for each step that has\n"
                   "values, empty cells where a metric has none. jsonl: an object for each step\n"
                   "with the metrics it has. What is no number is written NaN, Infinity or\n"
                   "-Infinity, in jsonl as a string.",
                   "fathom export quickstart --metrics=csv --output=quickstart.csv");
  ExportRequest request;
  line.positional("RUN", request.run, "a run's name, or its folder");
  line.suggests(suggested_runs);
  FieldList list;
  list.section("export");
  list.add<Format>("metrics", request.metrics, "the numbers of every step, in this format",
                   {{"csv", Format::kCsv}, {"jsonl", Format::kJsonl}});
  list.add("output", request.output, "a file, replaced once all is written; empty: standard output")
      .path();
  const auto with_model = [&request] { return !request.hf.empty(); };
  list.add("hf", request.hf, "a new folder for the model: config.json, model.safetensors, ...")
      .path();
  list.add("checkpoint", request.checkpoint,
           "with hf: best, last or a checkpoint's folder; auto: best, else last")
      .path()
      .suggests(suggested_checkpoints);
  list.add("force", request.force, "with hf: replace the folder");
  if (!parse_into(line, arguments, list)) return 0;
  const bool with_metrics = request.metrics != Format::kNone;
  if (!with_metrics && !with_model())
    misuse("metrics is missing: it says what to export",
           "add --metrics=csv for a table, --metrics=jsonl for an object a step, or --hf=FOLDER "
           "for the model");
  for (const auto& [given, key] :
       {std::pair{request.checkpoint != "auto", "checkpoint"}, {request.force, "force"}})
    if (given && !with_model())
      misuse(fmt::format("{} has a meaning only with hf", key), "add --hf=FOLDER, or leave it out");
  if (with_model()) export_model(request);
  if (!with_metrics) return 0;
  export_numbers(request);
  return 0;
}

}  // namespace

Verb verb_export() {
  return {"export", "a run's numbers, or its model in Hugging Face's layout", 100, run_export};
}

}  // namespace fathom
