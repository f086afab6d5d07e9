#include "fathom/study/generation/told.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "fathom/base/lines.h"
#include "fathom/base/text.h"
#include "fathom/study/tables/exit_table.h"
#include "fathom/track/console.h"
#include "fathom/track/terminal.h"

namespace fathom {
namespace {

// Why nothing was saved, where it was not; empty: nothing is known to say.
std::string why_all(const GenerateRequest& request, const HaltingConfig& halting,
                    const std::map<int64_t, int64_t>& answers) {
  if (!halting.acts()) return "";
  if (request.exit == Exit::kLast) return "exit = last asks the last layer always";
  if (answers.size() < 2)
    return fmt::format("{} a token before the last one; a lower --threshold?", kUnsure);
  if (halting.fate() == KeyFate::kHidden && halting.mask_history == MaskHistory::kPrevious)
    return "with mask_history = previous an answered token may come back, so it is computed on; a "
           "model trained with cumulative skips it";
  if (halting.fate() == KeyFate::kSeen)
    return "the keys of an answered token stay seen, so it is computed on";
  return "";
}

nlohmann::json by_layer(const std::map<int64_t, int64_t>& answers) {
  nlohmann::json layers = nlohmann::json::object();
  for (const auto& [layer, count] : answers) layers[std::to_string(layer)] = count;
  return layers;
}

// The texts, whole or as far as they came.
nlohmann::json texts_json(const GenerateRequest& request, const std::vector<std::string>& texts,
                          const std::map<int64_t, int64_t>& answers, int64_t tokens, double seconds,
                          bool interrupted) {
  return {{"run", request.model.run},
          {"checkpoint", request.model.folder},
          {"texts", texts},
          {"interrupted", interrupted},
          {"tokens", tokens},
          {"seconds", seconds},
          {"tokens_per_second", static_cast<double>(tokens) / std::max(seconds, 1e-9)},
          {"answered_by", by_layer(answers)}};
}

}  // namespace

void print_answers(const GenerateRequest& request, const HaltingConfig& halting, const Pages& pages,
                   const std::map<int64_t, int64_t>& answers, const GenerateReport& report) {
  double total = 0;
  for (const auto& [layer, count] : answers) total += static_cast<double>(count);
  std::vector<std::string> parts = {"answered by"};
  for (const auto& [layer, count] : answers) {
    const std::string name = fmt::format("layer {}", layer);
    parts.push_back(fmt::format("| {}: {:.1f} %",
                                can_colour(stderr) ? pages.coloured(name, layer) : name,
                                100.0 * static_cast<double>(count) / total));
  }
  parts.back() += ';';
  const double share = static_cast<double>(report.computed) / static_cast<double>(report.dense);
  parts.push_back(fmt::format("{:.1f} % of all blocks were computed", 100 * share));
  if (const std::string why =
          report.computed < report.dense ? "" : why_all(request, halting, answers);
      !why.empty()) {
    parts.back() += ':';
    for (const std::string_view word : split(why, ' ')) parts.emplace_back(word);
  }
  say_raw(stderr, is_terminal(stderr) ? in_lines(parts, 0, 2, terminal_width(stderr)) + "\n"
                                      : join(parts, " ") + "\n");
}

void print_drafts(const GenerateReport& report) {
  const double right = report.drafted == 0 ? 0
                                           : static_cast<double>(report.confirmed) /
                                                 static_cast<double>(report.drafted);
  say(stderr, fmt::format("{:.2f} tokens a pass | {:.1f} % of {} drafted tokens were right\n",
                          report.tokens_per_pass(), 100 * right, with_commas(report.drafted)));
}

void print_speed(const GenerateReport& report, double seconds) {
  const double rate = static_cast<double>(report.tokens) / std::max(seconds, 1e-9);
  const std::string time = seconds < 1 ? fmt::format("{:.0f} ms", std::ceil(seconds * 1e3))
                                       : fmt::format("{:.1f} s", seconds);
  say(stderr, fmt::format("{} in {}, {} tokens/s\n", counted(report.tokens, "token"), time,
                          with_commas(static_cast<int64_t>(rate))));
}

nlohmann::json report_json(const GenerateRequest& request, const std::vector<std::string>& texts,
                           const std::map<int64_t, int64_t>& answers, const GenerateReport& report,
                           double seconds) {
  nlohmann::json all =
      texts_json(request, texts, answers, report.tokens, seconds, /*interrupted=*/false);
  all.update({{"passes", report.passes},
              {"early_passes", report.early_passes},
              {"tokens_per_pass", report.tokens_per_pass()},
              {"drafted", report.drafted},
              {"confirmed", report.confirmed},
              {"computed", report.computed},
              {"dense", report.dense}});
  return all;
}

nlohmann::json stopped_json(const GenerateRequest& request, const std::vector<std::string>& texts,
                            const std::map<int64_t, int64_t>& answers, double seconds) {
  int64_t tokens = 0;
  for (const auto& [layer, count] : answers) tokens += count;
  return texts_json(request, texts, answers, tokens, seconds, /*interrupted=*/true);
}

}  // namespace fathom
