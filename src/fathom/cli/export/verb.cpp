// `fathom export RUN`
#include <fmt/format.h>

#include <utility>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/base/visible.h"
#include "fathom/cli/verbs.h"
#include "fathom/exchange/hugging_face.h"
#include "fathom/study/asked/model_choice.h"
#include "fathom/track/console.h"
#include "fathom/track/export_metrics.h"
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
  export_numbers(request.run,
                 request.metrics == Format::kCsv ? MetricFormat::kCsv : MetricFormat::kJsonl,
                 request.output);
  return 0;
}

}  // namespace

Verb verb_export() {
  return {"export", "a run's numbers, or its model in Hugging Face's layout", 100, run_export};
}

}  // namespace fathom
