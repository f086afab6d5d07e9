#include "fathom/track/export_metrics.h"

#include <fmt/format.h>

#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/base/visible.h"
#include "fathom/io/files.h"
#include "fathom/io/json_text.h"
#include "fathom/track/stored_run.h"

namespace fathom {
namespace {

std::string number_text(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
  return fmt::format("{}", value);  // the shortest text that reads back as the same double
}

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

}  // namespace

ExportedMetrics export_metrics(const RunStore& store, const std::string& run, MetricFormat format,
                               const std::function<void(std::string_view)>& write) {
  ExportedMetrics out;
  const bool csv = format == MetricFormat::kCsv;
  store.for_each_step(run, [&](const std::vector<std::string>& names, const StepValues& row) {
    if (out.steps++ == 0 && csv) write(csv_header(names));
    write(csv ? csv_line(row) : json_line(names, row));
    out.metrics = names.size();
  });
  if (out.steps == 0)
    fail(fmt::format("the run {} has no numbers yet", run),
         "they are stored with every evaluation and every log_interval steps");
  return out;
}

void export_numbers(const std::string& named, MetricFormat format, const std::string& output) {
  const StoredRun run = stored_run(named);
  const RunStore store = open_store(run);
  Output to(output);
  const ExportedMetrics out =
      export_metrics(store, run.name, format, [&](std::string_view text) { to.write(text); });
  to.commit();
  if (!output.empty())
    fmt::print("{}: {}, {} of the run {}\n", visible(output), counted(out.steps, "step"),
               counted(static_cast<int64_t>(out.metrics), "metric"), visible(run.name));
}

}  // namespace fathom
