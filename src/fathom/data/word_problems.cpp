#include "fathom/data/word_problems.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/io/json_text.h"

namespace fathom {
namespace {

using nlohmann::json;

constexpr const char* kProblemHint =
    "one object in each line, such as {\"question\": \"...\", \"answer\": \"12.5\"}";
constexpr std::string_view kAnswerMark = "####";  // GSM8K's, before the number

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

bool is_digit_at(std::string_view text, size_t i) {
  return i < text.size() && is_digit(text[i]);
}

size_t end_of_digits(std::string_view text, size_t i) {
  while (is_digit_at(text, i)) ++i;
  return i;
}

// Where the number ends whose first digit is at `i`.
size_t end_of_number(std::string_view text, size_t i) {
  size_t end = end_of_digits(text, i);
  if (end - i <= 3)
    while (end < text.size() && text[end] == ',' && end_of_digits(text, end + 1) == end + 4)
      end += 4;
  if (end < text.size() && text[end] == '.' && is_digit_at(text, end + 1))
    end = end_of_digits(text, end + 1);
  return end;
}

// A minus there is a sign, not an operator or a hyphen.
bool is_sign(std::string_view text, size_t i) {
  if (text[i] != '-' || !is_digit_at(text, i + 1)) return false;
  if (i == 0) return true;
  const auto before = static_cast<unsigned char>(text[i - 1]);
  const bool is_letter = (before | 0x20) >= 'a' && (before | 0x20) <= 'z';
  return !is_letter && before < 0x80 && !is_digit(text[i - 1]) && before != ')';
}

struct NumberInText {
  double value = 0;
  size_t begin = 0, end = 0;  // of it, bytes
};

// The next one from `i` on.
std::optional<NumberInText> next_number(std::string_view text, size_t i) {
  while (i < text.size()) {
    if (!is_digit(text[i]) && !is_sign(text, i)) {
      ++i;
      continue;
    }
    NumberInText number;
    number.begin = i;
    number.end = end_of_number(text, text[i] == '-' ? i + 1 : i);
    std::string digits(text.substr(i, number.end - i));
    digits.erase(std::remove(digits.begin(), digits.end(), ','), digits.end());
    const char* const end = digits.data() + digits.size();
    const auto [rest, error] = std::from_chars(digits.data(), end, number.value);
    if (error == std::errc() && rest == end && std::isfinite(number.value)) return number;
    i = number.end;
  }
  return {};
}

// Null where it is not there.
const json* field(const json& object, const char* key) {
  const auto found = object.find(key);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

const std::string* text_field(const json& object, const char* key, const std::string& name) {
  const json* value = field(object, key);
  if (value == nullptr) return nullptr;
  if (!value->is_string())
    fail(fmt::format("{} has {} = {}, not a text", name, key, shown_json(*value)), kProblemHint);
  return value->get_ptr<const std::string*>();
}

std::string question_of(const json& object, const std::string& name) {
  std::string question;
  if (const std::string* whole = text_field(object, "question", name)) {
    question = *whole;
  } else {
    const std::string* body = text_field(object, "Body", name);
    const std::string* asked = text_field(object, "Question", name);
    if (body == nullptr && asked == nullptr)
      fail(fmt::format("{} has neither question nor Question", name), kProblemHint);
    if (body != nullptr) question = *body;
    if (asked != nullptr) question += (question.empty() ? "" : " ") + *asked;
  }
  if (trim(question).empty())
    fail(fmt::format("{} has an empty question", name), "there is nothing to answer");
  return question;
}

// "$12.50" without its sign.
std::string_view without_currency(std::string_view amount) {
  for (const std::string_view sign : {"$", "\u00a3", "\u20ac"})
    if (amount.substr(0, sign.size()) == sign) return trim(amount.substr(sign.size()));
  return amount;
}

double answer_of(const json& object, const std::string& name) {
  const json* value = field(object, "answer");
  if (value == nullptr) value = field(object, "Answer");
  if (value == nullptr) fail(fmt::format("{} has no answer", name), kProblemHint);
  if (value->is_number()) return value->get<double>();
  const auto* text = value->get_ptr<const std::string*>();
  if (text == nullptr)
    fail(fmt::format("{} has answer = {}, not a number", name, shown_json(*value)), kProblemHint);
  const size_t mark = text->rfind(kAnswerMark);
  const std::string_view written =
      trim(std::string_view(*text).substr(mark == text->npos ? 0 : mark + kAnswerMark.size()));
  const std::string_view amount = without_currency(written);
  const auto number = next_number(amount, 0);
  if (!number || number->begin != 0 || number->end != amount.size())
    fail(fmt::format("{} has answer = {}, not one number", name, quoted_start(written)),
         "\"12.5\" is one, and so is what stands behind the last ####");
  return number->value;
}

}  // namespace

bool operator==(const WordProblem& a, const WordProblem& b) {
  return a.question == b.question && a.answer == b.answer;
}

WordProblem read_word_problem(std::string_view line, const std::string& name) {
  json object;
  try {
    object = parse_json(line, name);
  } catch (const Error& error) {
    fail(error.what(), kProblemHint);
  }
  if (!object.is_object())
    fail(fmt::format("{} is {}, not an object of fields", name, shown_json(object)), kProblemHint);
  return {question_of(object, name), answer_of(object, name), name};
}

std::string word_problem_line(const WordProblem& problem) {
  return json_text(json{{"question", problem.question}, {"answer", problem.answer}});
}

std::vector<WordProblem> read_word_problems(std::string_view text, const std::string& path,
                                            int64_t most, PassedOver* passed) {
  std::vector<WordProblem> problems;
  PassedOver none;
  for (int64_t number = 1; !text.empty(); ++number) {
    if (most > 0 && static_cast<int64_t>(problems.size()) == most) break;
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (trim(line).empty()) continue;
    try {
      problems.push_back(
          read_word_problem(line, fmt::format("{}, line {}", escaped(path), number)));
    } catch (const Error& error) {
      if (++none.lines == 1) none.first = error.what();
    }
  }
  if (problems.empty())
    fail(
        fmt::format("{} has no problems{}", escaped(path), none.lines > 0 ? ": " + none.first : ""),
        kProblemHint);
  if (passed != nullptr) *passed = std::move(none);
  return problems;
}

std::vector<double> numbers_in(std::string_view text) {
  std::vector<double> numbers;
  for (auto number = next_number(text, 0); number; number = next_number(text, number->end))
    numbers.push_back(number->value);
  return numbers;
}

std::optional<double> first_number(std::string_view text) {
  const auto number = next_number(text, 0);
  return number ? std::optional(number->value) : std::nullopt;
}

}  // namespace fathom
