#include "fathom/data/numbers/program.h"

#include <algorithm>
#include <cmath>

#include "data/numbers/numbers_testing.h"

namespace fathom {
namespace {

using testing::caught;
using testing::Draws;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::independent_value;
using testing::random_program;

TEST(NumberProgram, OperationsAreThoseOfArithmetic) {
  Draws draws(1);
  for (int i = 0; i < 1000; ++i) {
    const double x = 200 * draws() - 100, y = 200 * draws() - 100;
    EXPECT_EQ(apply(Operation::kAdd, x, y), apply(Operation::kAdd, y, x));
    EXPECT_EQ(apply(Operation::kMultiply, x, y), apply(Operation::kMultiply, y, x));
    EXPECT_EQ(apply(Operation::kSubtract, x, y), -apply(Operation::kSubtract, y, x));
    EXPECT_NEAR(apply(Operation::kMultiply, apply(Operation::kDivide, x, y), y), x,
                1e-12 * std::abs(x));
    EXPECT_EQ(apply(Operation::kIdentity, x, y), x);
  }
  EXPECT_FALSE(std::isfinite(apply(Operation::kDivide, 1, 0)));
}

// Those that no text writes down come behind those that one does.
TEST(NumberProgram, OtherOperationsKeepWhatIsNoNumber) {
  EXPECT_TRUE(
      std::equal(kWrittenOperations.begin(), kWrittenOperations.end(), kOperations.begin()));
  EXPECT_EQ(std::count_if(kOperations.begin(), kOperations.end(), is_written), 5);
  const double nan = std::nan("");
  for (const Operation operation : {Operation::kMax, Operation::kMin, Operation::kPower})
    for (const double x : {nan, -2.0})
      EXPECT_TRUE(std::isnan(apply(operation, x, x == -2 ? nan : 3))) << to_text(operation);
  EXPECT_TRUE(std::isnan(apply(Operation::kLog, nan, 1)));
  EXPECT_EQ(apply(Operation::kMax, -2, -3), -2);
  EXPECT_EQ(apply(Operation::kMin, -2, -3), -3);
  EXPECT_EQ(apply(Operation::kPower, -2, 3), -8);
  EXPECT_NEAR(apply(Operation::kLog, -7.5, 0), std::log(7.5), 1e-15);
}

TEST(NumberProgram, OperationsHaveNames) {
  for (const Operation operation : kOperations)
    EXPECT_EQ(operation_named(to_text(operation)), operation);
  EXPECT_EQ(caught([] { operation_named("multipy"); }).hint(), "did you mean multiply?");
  EXPECT_THAT(operations_named("add, identity,multiply"),
              ElementsAre(Operation::kAdd, Operation::kIdentity, Operation::kMultiply));
  EXPECT_THAT(caught([] { operations_named("add, divide, add"); }).what(),
              HasSubstr("add is named twice"));
  for (const char* list : {"", "add,", ",", "add divide", "Add"})
    EXPECT_EQ(caught([&] { operations_named(list); }).kind(), ErrorKind::kUsage) << list;
}

TEST(NumberProgram, FoldsItsStackFromTheTop) {
  // 20 - (3 * 0.5)
  const NumberProgram program = {{{20, 0}, {3, 0}, {5, 1}},
                                 {Operation::kMultiply, Operation::kSubtract}};
  EXPECT_THAT(results_of(program), ElementsAre(1.5, 18.5));
  EXPECT_EQ(value_of(program), 18.5);
  const NumberProgram alone = {{{-307, 2}}, {}};
  EXPECT_THAT(results_of(alone), ElementsAre());
  EXPECT_EQ(value_of(alone), -3.07);
}

TEST(NumberProgram, AgreesWithAnotherEvaluator) {
  Draws draws(2);
  for (int i = 0; i < 3000; ++i) {
    NumberProgram program = random_program(draws, 6, 6);
    for (Operation& operation : program.operations)
      if (draws() < 0.1) operation = Operation::kIdentity;
    EXPECT_EQ(value_of(program), independent_value(program));
  }
}

TEST(NumberProgram, NeedsOneValueMoreThanOperations) {
  for (const NumberProgram& program :
       {NumberProgram{}, NumberProgram{{{1, 0}, {2, 0}}, {}},
        NumberProgram{{{1, 0}, {2, 0}}, {Operation::kAdd, Operation::kAdd}}}) {
    EXPECT_THAT(caught([&] { value_of(program); }).what(), HasSubstr("one value more"));
    EXPECT_THAT(caught([&] { used_values(program); }).what(), HasSubstr("one value more"));
  }
}

TEST(NumberProgram, KnowsWhichValuesReachItsResult) {
  const NumberProgram program = {{{2, 0}, {3, 0}, {4, 0}, {5, 0}},
                                 {Operation::kAdd, Operation::kIdentity, Operation::kMultiply}};
  EXPECT_EQ(value_of(program), 6);
  EXPECT_THAT(used_values(program), ElementsAre(true, true, false, false));
  EXPECT_EQ(real_operations(program), 2);
  Draws draws(3);
  for (int i = 0; i < 300; ++i) {
    NumberProgram drawn = random_program(draws, 5, 5);
    drawn.operations[static_cast<size_t>(draws.below(5))] = Operation::kIdentity;
    // Of one size, lest one is lost in the rounding of another.
    for (Decimal& value : drawn.values) value = {11 + draws.below(89), 1};
    const std::vector<bool> used = used_values(drawn);
    for (size_t v = 0; v < used.size(); ++v) {
      NumberProgram other = drawn;
      other.values[v].units *= -3;
      EXPECT_EQ(value_of(other) != value_of(drawn), used[v]) << i << " " << v;
    }
  }
}

TEST(Decimal, IsWhatIsWritten) {
  EXPECT_EQ(parse_decimal("4.3"), (Decimal{43, 1}));
  EXPECT_EQ(parse_decimal("-3.07"), (Decimal{-307, 2}));
  EXPECT_EQ(parse_decimal("4.0"), (Decimal{40, 1}));
  EXPECT_FALSE(parse_decimal("4.0") == parse_decimal("4"));
  EXPECT_EQ(parse_decimal("007"), (Decimal{7, 0}));
  EXPECT_EQ(parse_decimal("-0"), (Decimal{0, 0}));
  EXPECT_EQ(parse_decimal("999999999999999999"), (Decimal{999'999'999'999'999'999, 0}));
  for (const char* text : {"0", "-3.07", "0.05", "-0.000000000001", "10.0", "123456.789012345678"})
    EXPECT_EQ(to_text(parse_decimal(text)), text);
  EXPECT_EQ(to_text(Decimal{INT64_MIN, 0}), "-9223372036854775808");
}

TEST(Decimal, IsTheNearestDouble) {
  Draws draws(4);
  for (int i = 0; i < 20000; ++i) {
    Decimal decimal;
    int64_t below = 1;
    for (int64_t digits = 1 + draws.below(18); digits > 0; --digits) below *= 10;
    decimal.units = draws.below(below) - below / 2;
    decimal.decimals = static_cast<int>(draws.below(kMostDecimals + 1));
    EXPECT_EQ(decimal.value(), std::strtod(to_text(decimal).c_str(), nullptr)) << to_text(decimal);
  }
}

TEST(Decimal, NothingElseIsOne) {
  for (const char* text : {"", "-", ".", "4.", ".5", "--4", "+4", "4 ", " 4", "1e3", "0x1", "4.3.1",
                           "4,000", "nan", "\xc3\xa9", "1234567890123456789", "0.1234567890123"}) {
    const Error error = caught([&] { parse_decimal(text); });
    EXPECT_EQ(error.kind(), ErrorKind::kUsage) << text;
  }
}

}  // namespace
}  // namespace fathom
