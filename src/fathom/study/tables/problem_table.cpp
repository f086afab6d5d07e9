#include "fathom/study/tables/problem_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "fathom/base/text.h"
#include "fathom/report/render.h"
#include "fathom/study/tables/choice_table.h"

namespace fathom {
namespace {

struct ProblemScore {
  ObservedShare right;
  double question_number = 0;  // share of one of the question's numbers, drawn at random
  double most_frequent = 0;    // of the answer that is right most often
};

double share_of_numbers(const ProblemAnswer& answer, double rtol) {
  if (answer.asked.empty()) return 0;
  const auto right = std::count_if(answer.asked.begin(), answer.asked.end(), [&](double number) {
    return is_right(number, answer.truth, rtol);
  });
  return static_cast<double>(right) / static_cast<double>(answer.asked.size());
}

// How many of the sorted answers one answer is right for, at most. An answer is one of them.
size_t most_frequent(const std::vector<double>& sorted, double rtol) {
  size_t most = 0;
  for (size_t i = 0; i < sorted.size(); ++i) {
    if (i > 0 && sorted[i] == sorted[i - 1]) continue;
    size_t low = i, high = i + 1;
    while (low > 0 && is_right(sorted[i], sorted[low - 1], rtol)) --low;
    while (high < sorted.size() && is_right(sorted[i], sorted[high], rtol)) ++high;
    most = std::max(most, high - low);
  }
  return most;
}

ProblemScore score_of(const ProblemTable& table, double rtol) {
  const size_t n = table.answers.size();
  size_t right = 0;
  std::vector<double> truths;
  ProblemScore score;
  for (const ProblemAnswer& answer : table.answers) {
    right += answer.given && is_right(*answer.given, answer.truth, rtol);
    score.question_number += share_of_numbers(answer, rtol) / static_cast<double>(n);
    truths.push_back(answer.truth);
  }
  score.right = observed_share(right, n);
  std::sort(truths.begin(), truths.end());
  score.most_frequent = static_cast<double>(most_frequent(truths, rtol)) / static_cast<double>(n);
  return score;
}

nlohmann::json score_json(const ProblemScore& score) {
  return {{"value", score.right.value},
          {"low", score.right.low},
          {"high", score.right.high},
          {"baselines",
           {{"question_number", score.question_number}, {"most_frequent", score.most_frequent}}}};
}

nlohmann::json answer_json(const ProblemAnswer& answer) {
  nlohmann::json out = {{"truth", answer.truth},
                        {"given", nullptr},
                        {"text", report::json_word(answer.text)},
                        {"right", answer.given && is_right(*answer.given, answer.truth, kExact)},
                        {"near", answer.given && is_right(*answer.given, answer.truth, kNear)},
                        {"cut", answer.is_cut}};
  if (answer.given) out["given"] = *answer.given;
  return out;
}

report::Table accuracy_table(const ProblemScore& exact, const ProblemScore& near) {
  const report::NumberForm share = {report::NumberForm::Kind::kFixed, 4};
  report::Table table;
  table.columns = {{"", report::Align::kLeft},
                   {"right within 1e-6", report::Align::kRight, share},
                   {"within 1 %", report::Align::kRight, share}};
  const auto interval = [](const ObservedShare& s) {
    return fmt::format("{:.4f} to {:.4f}", s.low, s.high);
  };
  table.rows = {{"accuracy", exact.right.value, near.right.value},
                {"95 % between", interval(exact.right), interval(near.right)},
                {"a number of the question", exact.question_number, near.question_number},
                {"the most frequent answer", exact.most_frequent, near.most_frequent}};
  return table;
}

// What was not asked, or not answered, a line each.
std::string remarks_on(const ProblemTable& table, size_t silent, size_t cut) {
  std::vector<std::string> lines;
  const auto add = [&](int64_t n, const char* one, const char* many, const std::string& why = "") {
    if (n > 0) lines.push_back(counted(n, one, many) + (why.empty() ? "" : ", the first: " + why));
  };
  add(static_cast<int64_t>(silent), "answer has no number", "answers have no number");
  add(static_cast<int64_t>(cut),
      "problem is longer than what the model sees at once: its beginning was not read",
      "problems are longer than what the model sees at once: their beginning was not read");
  add(table.no_problems, "line is no problem and was passed over",
      "lines are no problems and were passed over", table.first_no_problem);
  add(table.unreadable, "question has no tokens in the vocabulary and was passed over",
      "questions have no tokens in the vocabulary and were passed over", table.first_unreadable);
  return join(lines, "\n");
}

}  // namespace

bool is_right(double given, double truth, double rtol) {
  return std::fabs(given - truth) <= std::max(1e-6, rtol * std::fabs(truth));
}

report::Report problem_report(const ProblemTable& table) {
  const size_t n = table.answers.size();
  const ProblemScore exact = score_of(table, kExact), near = score_of(table, kNear);
  size_t cut = 0, silent = 0;
  nlohmann::json answers = nlohmann::json::array();
  for (const ProblemAnswer& answer : table.answers) {
    cut += answer.is_cut;
    silent += !answer.given;
    answers.push_back(answer_json(answer));
  }
  report::Report report;
  report.title = fmt::format("{} on {}", table.run, escaped(table.file));
  report.values = {{"run", table.run},
                   {"file", report::json_word(table.file)},
                   {"problems", n},
                   {"answer_tokens", table.answer_tokens},
                   {"accuracy", score_json(exact)},
                   {"accuracy_near", score_json(near)},
                   {"without_a_number", silent},
                   {"questions_cut", cut},
                   {"lines_without_problem", table.no_problems},
                   {"questions_without_tokens", table.unreadable},
                   {"answers", answers}};
  report.add(report::Paragraph{fmt::format(
      "{} on {}, {}: the first number in {} of each answer", table.run, escaped(table.file),
      counted(static_cast<int64_t>(n), "problem"), counted(table.answer_tokens, "token"))});
  report.add(accuracy_table(exact, near));
  const std::string rest = remarks_on(table, silent, cut);
  if (!rest.empty()) report.add(report::Paragraph{rest});
  return report;
}

}  // namespace fathom
