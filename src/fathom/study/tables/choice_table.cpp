#include "fathom/study/tables/choice_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "fathom/base/text.h"
#include "fathom/report/render.h"

namespace fathom {
namespace {

std::string shown_share(const ObservedShare& share) {
  return fmt::format("{:.4f}, 95 % between {:.4f} and {:.4f}", share.value, share.low, share.high);
}

nlohmann::json share_json(const ObservedShare& share) {
  return {{"value", share.value}, {"low", share.low}, {"high", share.high}};
}

nlohmann::json question_json(const ChoiceScore& q) {
  nlohmann::json means = nlohmann::json::array();
  for (size_t i = 0; i < q.ln_p.size(); ++i) means.push_back(q.mean(i));
  return {{"label", q.label},   {"chosen", q.chosen()}, {"chosen_by_sum", q.chosen_by_sum()},
          {"mean_ln_p", means}, {"sum_ln_p", q.ln_p},   {"tokens", q.tokens},
          {"cut", q.cut}};
}

}  // namespace

size_t ChoiceScore::chosen() const {
  size_t best = 0;
  for (size_t i = 1; i < ln_p.size(); ++i)
    if (mean(i) > mean(best)) best = i;
  return best;
}

size_t ChoiceScore::chosen_by_sum() const {
  return static_cast<size_t>(std::max_element(ln_p.begin(), ln_p.end()) - ln_p.begin());
}

ObservedShare observed_share(size_t count, size_t n) {
  constexpr double z = 1.959963984540054;  // the normal distribution's 0.975 quantile
  const double N = static_cast<double>(n), p = static_cast<double>(count) / N;
  const double scale = 1 + z * z / N, centre = (p + z * z / (2 * N)) / scale;
  const double half = z / scale * std::sqrt(p * (1 - p) / N + z * z / (4 * N * N));
  return {p, std::max(centre - half, 0.0), std::min(centre + half, 1.0)};
}

report::Report choice_report(const ChoiceTable& table) {
  const size_t n = table.questions.size();
  size_t right = 0, right_by_sum = 0, cut = 0;
  double guessing = 0, nats = 0;
  nlohmann::json scores = nlohmann::json::array();
  for (const ChoiceScore& q : table.questions) {
    right += q.chosen() == q.label;
    right_by_sum += q.chosen_by_sum() == q.label;
    cut += q.cut > 0;
    guessing += 1 / static_cast<double>(q.ln_p.size()) / static_cast<double>(n);
    nats -= q.mean(q.label) / static_cast<double>(n);
    scores.push_back(question_json(q));
  }
  const ObservedShare by_mean = observed_share(right, n), by_sum = observed_share(right_by_sum, n);
  report::Report report;
  report.title = fmt::format("{} on {}", table.run, escaped(table.file));
  report.values = {{"run", table.run},
                   {"file", report::json_word(table.file)},
                   {"questions", n},
                   {"accuracy", share_json(by_mean)},
                   {"accuracy_by_sum", share_json(by_sum)},
                   {"guessing", guessing},
                   {"nats_per_token", nats},
                   {"contexts_cut", cut},
                   {"scores", scores}};
  report.add(report::Paragraph{fmt::format("{} on {}, {}", table.run, escaped(table.file),
                                           counted(static_cast<int64_t>(n), "question"))});
  report::Table facts;
  facts.header = false;
  facts.columns = {{"", report::Align::kLeft},
                   {"", report::Align::kLeft, {}, {}, report::Narrow::kFold}};
  facts.rows.push_back({"accuracy, by ln p a token", shown_share(by_mean)});
  facts.rows.push_back({"accuracy, by ln p of all", shown_share(by_sum)});
  facts.rows.push_back({"guessing", fmt::format("{:.4f}", guessing)});
  facts.rows.push_back({"right endings", fmt::format("{:.4f} nats per token", nats)});
  if (cut > 0)
    facts.rows.push_back({"longer than what is seen",
                          counted(static_cast<int64_t>(cut), "context lost its beginning",
                                  "contexts lost their beginning")});
  report.add(std::move(facts));
  return report;
}

}  // namespace fathom
