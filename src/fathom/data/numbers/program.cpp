#include "fathom/data/numbers/program.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>

#include "fathom/base/error.h"
#include "fathom/base/text.h"

namespace fathom {
namespace {

constexpr std::array<const char*, kOperations.size()> kOperationNames = {
    "add", "subtract", "multiply", "divide", "identity", "max", "min", "power", "log"};

void require_fit(const NumberProgram& program) {
  if (program.values.size() != program.operations.size() + 1)
    fail(fmt::format("a program of {} has {}, it needs one value more than operations",
                     counted(static_cast<int64_t>(program.operations.size()), "operation"),
                     counted(static_cast<int64_t>(program.values.size()), "value")));
}

// A mistake is told the first `allowed` of the names.
Operation named(std::string_view name, size_t allowed) {
  for (const Operation operation : kOperations)
    if (name == to_text(operation)) return operation;
  misuse(fmt::format("{} is no operation", quoted_start(name)),
         suggestion(name, {kOperationNames.begin(), kOperationNames.begin() + allowed}));
}

std::vector<Operation> all_named(std::string_view list, size_t allowed) {
  std::vector<Operation> operations;
  for (size_t begin = 0; begin <= list.size();) {
    const size_t end = std::min(list.find(',', begin), list.size());
    const Operation operation = named(trim(list.substr(begin, end - begin)), allowed);
    if (std::find(operations.begin(), operations.end(), operation) != operations.end())
      misuse(
          fmt::format("operation {} is named twice in {}", to_text(operation), quoted_start(list)),
          "each operation has one number, its place in the list");
    operations.push_back(operation);
    begin = end + 1;
  }
  return operations;
}

// How many characters `text` begins with that are digits.
size_t count_digits(std::string_view text) {
  return std::min(text.find_first_not_of("0123456789"), text.size());
}

// What is not a number stays none.
double larger(double x, double y) {
  return x < y || std::isnan(y) ? y : x;
}

double power(double x, double y) {
  if (x == 0 && y < 0) return std::numeric_limits<double>::infinity();
  if (x == 0) return std::isnan(y) ? y : 0;
  const double exponent = std::clamp(y, -kMostExponent, kMostExponent);
  return std::copysign(std::pow(std::min(std::fabs(x), kMostBase), exponent), x);
}

}  // namespace

bool is_unary(Operation operation) {
  return operation == Operation::kIdentity || operation == Operation::kLog;
}

const char* to_text(Operation operation) {
  return kOperationNames.at(static_cast<size_t>(operation));
}

const char* sign_of(Operation operation) {
  switch (operation) {
    case Operation::kAdd:
      return "+";
    case Operation::kSubtract:
      return "-";
    case Operation::kMultiply:
      return "*";
    case Operation::kDivide:
      return "/";
    case Operation::kPower:
      return "^";
    case Operation::kIdentity:
    case Operation::kMax:
    case Operation::kMin:
    case Operation::kLog:
      break;
  }
  return "";
}

Operation operation_named(std::string_view name) {
  return named(name, kOperations.size());
}

std::vector<Operation> operations_named(std::string_view list) {
  return all_named(list, kOperations.size());
}

std::vector<Operation> operations_named_for_texts(std::string_view list) {
  return all_named(list, kWrittenOperations.size());
}

double apply(Operation operation, double x, double y) {
  switch (operation) {
    case Operation::kAdd:
      return x + y;
    case Operation::kSubtract:
      return x - y;
    case Operation::kMultiply:
      return x * y;
    case Operation::kDivide:
      return x / y;
    case Operation::kMax:
      return larger(x, y);
    case Operation::kMin:
      return -larger(-x, -y);
    case Operation::kPower:
      return power(x, y);
    case Operation::kLog:
      return std::clamp(std::log(std::fabs(x)), -kMostLog, kMostLog);
    case Operation::kIdentity:
      break;
  }
  return x;
}

double Decimal::value() const {
  constexpr std::array<double, kMostDecimals + 1> kPowers = {1,   1e1, 1e2, 1e3,  1e4,  1e5, 1e6,
                                                             1e7, 1e8, 1e9, 1e10, 1e11, 1e12};
  constexpr int64_t kExact = int64_t{1} << std::numeric_limits<double>::digits;
  // Of two numbers that doubles have exactly, one division gives the nearest quotient.
  if (units <= kExact && units >= -kExact)
    return static_cast<double>(units) / kPowers.at(static_cast<size_t>(decimals));
  return std::strtod(to_text(*this).c_str(), nullptr);
}

bool operator==(const Decimal& a, const Decimal& b) {
  return a.units == b.units && a.decimals == b.decimals;
}

std::string to_text(const Decimal& decimal) {
  const auto bits = static_cast<uint64_t>(decimal.units);
  const auto places = static_cast<size_t>(decimal.decimals);
  std::string digits = std::to_string(decimal.units < 0 ? 0 - bits : bits);
  if (digits.size() <= places) digits.insert(0, places + 1 - digits.size(), '0');
  if (places > 0) digits.insert(digits.size() - places, ".");
  return (decimal.units < 0 ? "-" : "") + digits;
}

Decimal parse_decimal(std::string_view text) {
  const bool negative = !text.empty() && text[0] == '-';
  const std::string_view unsigned_text = text.substr(negative);
  const size_t whole = count_digits(unsigned_text);
  std::string_view behind = unsigned_text.substr(whole);
  const bool has_point = !behind.empty() && behind[0] == '.';
  if (has_point) behind.remove_prefix(1);
  if (whole == 0 || count_digits(behind) != behind.size() || has_point == behind.empty())
    misuse(fmt::format("{} is no number", quoted_start(text)),
           "a number is digits, with a minus before them or a point and digits behind them: -3.07");
  if (whole + behind.size() > kMostDigits || behind.size() > kMostDecimals)
    misuse(fmt::format("{} has {} digits, {} of them behind the point; at most {} and {} are read",
                       quoted_start(text), whole + behind.size(), behind.size(), kMostDigits,
                       kMostDecimals));
  Decimal decimal;
  decimal.decimals = static_cast<int>(behind.size());
  for (const std::string_view digits : {unsigned_text.substr(0, whole), behind})
    for (const char digit : digits) decimal.units = decimal.units * 10 + (digit - '0');
  if (negative) decimal.units = -decimal.units;
  return decimal;
}

bool operator==(const NumberProgram& a, const NumberProgram& b) {
  return a.values == b.values && a.operations == b.operations;
}

std::vector<double> results_of(const NumberProgram& program) {
  require_fit(program);
  std::vector<double> results;
  results.reserve(program.depth());
  double top = program.values.back().value();
  for (size_t k = 0; k < program.depth(); ++k) {
    const Decimal& deeper = program.values[program.depth() - 1 - k];
    top = apply(program.operations[k], deeper.value(), top);
    results.push_back(top);
  }
  return results;
}

double value_of(const NumberProgram& program) {
  const std::vector<double> results = results_of(program);
  return results.empty() ? program.values[0].value() : results.back();
}

std::vector<bool> used_values(const NumberProgram& program) {
  require_fit(program);
  std::vector<bool> used(program.values.size());
  used[0] = true;
  // The last operation joins the deepest value to the rest, the one before it the next value.
  for (size_t i = 1; i < used.size(); ++i)
    used[i] = used[i - 1] && !is_unary(program.operations[program.depth() - i]);
  return used;
}

int64_t real_operations(const NumberProgram& program) {
  return std::count_if(program.operations.begin(), program.operations.end(),
                       [](Operation operation) { return operation != Operation::kIdentity; });
}

}  // namespace fathom
