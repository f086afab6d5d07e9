// `fathom export RUN`
#include <fmt/format.h>

#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>
#include <utility>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/cli/model_choice.h"
#include "fathom/cli/verbs.h"
#include "fathom/exchange/hugging_face.h"
#include "fathom/io/files.h"
#include "fathom/io/json_text.h"
#include "fathom/track/console.h"
#include "fathom/track/stored_run.h"

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

std::string number_text(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
  return fmt::format("{}", value);  // the shortest text that reads back as the same double
}

// RFC 4180, but for the line's end, which is a bare newline as other tools here expect it.
std::string csv_field(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string out = "\"";
  for (const char c : text) out += c == '"' ? "\"\"" : std::string(1, c);
  return out + '"';
}

std::string csv_header(const std::vector<std::string>& names) {
  std::string out = "step";
  for (const std::string& name : names) out += ',' + csv_field(name);
  return out + '\n';
}

std::string csv_line(const StepValues& row) {
  std::string out = std::to_string(row.step);
  for (const std::optional<double>& value : row.values) {
    out += ',';
    if (value) out += number_text(*value);
  }
  return out + '\n';
}

std::string json_line(const std::vector<std::string>& names, const StepValues& row) {
  std::string out = fmt::format("{{\"step\":{}", row.step);
  for (size_t i = 0; i < names.size(); ++i) {
    if (!row.values[i]) continue;
    const std::string number = number_text(*row.values[i]);
    out += ',' + json_text(names[i]) + ':';
    out += std::isfinite(*row.values[i]) ? number : '"' + number + '"';
  }
  return out + "}\n";
}

void export_metrics(const ExportRequest& request) {
  const StoredRun run = stored_run(request.run);
  const std::string& name = run.name;
  const RunStore store = open_store(run);

  Output output(request.output);
  const bool csv = request.metrics == Format::kCsv;
  size_t steps = 0, metrics = 0;
  store.for_each_step(name, [&](const std::vector<std::string>& names, const StepValues& row) {
    if (steps++ == 0 && csv) output.write(csv_header(names));
    output.write(csv ? csv_line(row) : json_line(names, row));
    metrics = names.size();
  });
  if (steps == 0)
    fail(fmt::format("the run {} has no numbers yet", name),
         "they are stored with every evaluation and every log_interval steps");
  output.commit();
  if (!request.output.empty())
    fmt::print("{}: {} steps, {} metrics of the run {}\n", request.output,
               with_commas(static_cast<int64_t>(steps)), metrics, name);
}

void export_model(const ExportRequest& request) {
  ModelChoice choice;
  choice.run = request.run;
  choice.checkpoint = request.checkpoint;
  settle(choice);
  const ExportReport report = export_hugging_face(choice.folder, request.hf, request.force);
  for (const std::string& notice : report.notices) say_note(notice);
  fmt::print("{}: {} of {}\n", request.hf, join(report.files, ", "), choice.folder);
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
      .path();
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
  export_metrics(request);
  return 0;
}

}  // namespace

Verb verb_export() {
  return {"export", "a run's numbers, or its model in Hugging Face's layout", 100, run_export};
}

}  // namespace fathom
