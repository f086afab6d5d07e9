// Hostile and odd files, each refused with a message that says why, or accepted as the reference
// implementation accepts it.
#include <gmock/gmock.h>

#include <cstdint>
#include <string>

#include "fathom/io/safetensors.h"
#include "io/temp_folder.h"

namespace fathom {
namespace {

using ::testing::AllOf;
using testing::error_of;
using ::testing::HasSubstr;
using ::testing::SizeIs;
using ::testing::StartsWith;

std::string length_prefix(uint64_t length) {
  std::string prefix(8, '\0');
  for (size_t i = 0; i < 8; ++i) prefix[i] = static_cast<char>(length >> (8 * i));
  return prefix;
}

SafetensorsHeader parse(const std::string& json, size_t data_bytes = 0) {
  const std::string file = length_prefix(json.size()) + json + std::string(data_bytes, '\0');
  return parse_safetensors(as_bytes(file), "model.safetensors");
}

std::string refusal(const std::string& json, size_t data_bytes = 0) {
  const std::string message = error_of([&] { parse(json, data_bytes); });
  EXPECT_THAT(message, StartsWith("model.safetensors: "));
  EXPECT_LT(message.size(), 500u);
  EXPECT_EQ(message.find('\n'), message.npos);
  return message;
}

std::string refusal_of_file(const std::string& bytes) {
  return error_of([&] { parse_safetensors(as_bytes(bytes), "model.safetensors"); });
}

std::string tensor(const std::string& name, const std::string& dtype, const std::string& shape,
                   const std::string& offsets) {
  return "\"" + name + "\":{\"dtype\":\"" + dtype + "\",\"shape\":" + shape +
         ",\"data_offsets\":" + offsets + "}";
}

TEST(Length, IsCheckedBeforeAnythingIsRead) {
  EXPECT_THAT(refusal_of_file(""), HasSubstr("the file has 0 bytes"));
  EXPECT_THAT(refusal_of_file("1234567"), HasSubstr("the file has 7 bytes"));
  EXPECT_THAT(refusal_of_file(length_prefix(100'000'001) + "{}"),
              HasSubstr("given as 100000001 bytes; at most 100000000 are allowed"));
  EXPECT_THAT(refusal_of_file(length_prefix(UINT64_MAX) + "{}"),
              HasSubstr("given as 18446744073709551615 bytes; at most"));
  EXPECT_THAT(refusal_of_file(length_prefix(UINT64_MAX - 7) + "{}"), HasSubstr("at most"));
  EXPECT_THAT(refusal_of_file(length_prefix(3) + "{}"),
              HasSubstr("given as 3 bytes, but only 2 follow"));
  EXPECT_THAT(refusal_of_file(length_prefix(0)), HasSubstr("does not start with '{'"));
}

TEST(Padding, IsAcceptedOnBothSidesAsInTheReference) {
  EXPECT_THAT(parse("{}").tensors, SizeIs(0));
  EXPECT_THAT(parse("{}\r \t\n").tensors, SizeIs(0));
  EXPECT_THAT(parse("\t\n{}\r ").tensors, SizeIs(0));
  EXPECT_THAT(refusal("{}\v"), HasSubstr("not valid JSON at its byte 3"));
  EXPECT_THAT(refusal(std::string("{}\0\0", 4)), HasSubstr("it holds a NUL"));
  EXPECT_THAT(refusal(std::string("{}\0garbage", 10)), HasSubstr("it holds a NUL"));
  EXPECT_THAT(refusal("\xEF\xBB\xBF{}"), HasSubstr("does not start with '{'"));
}

TEST(Json, MustBeOneValidObject) {
  for (const char* json : {"[]", "5", "null", "\"{}\"", "    "})
    EXPECT_THAT(refusal(json), HasSubstr("does not start with '{'"));
  for (const char* json : {"{", "{}{}", "{} x", "{\"a\"}", "{'a':1}", "{\"__metadata__\":{},}",
                           "{/**/}", "{\"\t\":1}", "{\"\\ud800\":1}", "{\"a\":nan}"})
    EXPECT_THAT(refusal(json), HasSubstr("not valid JSON at its byte")) << json;
}

TEST(Utf8, IsRequired) {
  EXPECT_THAT(refusal("\xFF"), HasSubstr("not valid UTF-8 at its byte 0"));
  for (const char* name : {"\xC3", "\xC0\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\x80"})
    EXPECT_THAT(refusal("{" + tensor(name, "U8", "[0]", "[0,0]") + "}"),
                HasSubstr("not valid UTF-8 at its byte 2"));
  const auto odd = parse("{" + tensor("../\xF0\x9F\x8C\x8A\\u0000", "U8", "[0]", "[0,0]") + "}");
  EXPECT_NE(odd.find(std::string_view("../\xF0\x9F\x8C\x8A\0", 8)), nullptr);
}

TEST(Nesting, IsLimitedAsInTheReference) {
  const auto nested = [](size_t levels) {  // the header and the tensor are two of them
    return "{\"a\":{\"x\":" + std::string(levels - 2, '[') + std::string(levels - 2, ']') +
           R"(,"dtype":"U8","shape":[0],"data_offsets":[0,0]}})";
  };
  EXPECT_THAT(parse(nested(127)).tensors, SizeIs(1));
  EXPECT_THAT(refusal(nested(128)), HasSubstr("nested deeper than 127 levels"));
  EXPECT_THAT(refusal(nested(10'000'000)), HasSubstr("nested deeper than 127 levels"));
}

TEST(Duplicates, AreRefusedEverywhere) {
  const std::string a = tensor("a", "U8", "[1]", "[0,1]"),
                    a2 = tensor("\\u0061", "U8", "[1]", "[1,2]");
  EXPECT_THAT(refusal("{" + a + "," + a + "}", 1), HasSubstr("tensor \"a\" appears twice"));
  EXPECT_THAT(refusal("{" + a + "," + a2 + "}", 2), HasSubstr("tensor \"a\" appears twice"));
  EXPECT_THAT(refusal(R"({"__metadata__":{},"__metadata__":{}})"),
              HasSubstr("__metadata__ appears twice"));
  EXPECT_THAT(refusal(R"({"__metadata__":{"k":"1","k":"1"}})"),
              HasSubstr("__metadata__ key \"k\" appears twice"));
  EXPECT_THAT(refusal(R"({"a":{"dtype":"U8","dtype":"U8","shape":[],"data_offsets":[0,1]}})", 1),
              HasSubstr("tensor \"a\": dtype appears twice"));
  EXPECT_THAT(refusal(R"({"a":{"dtype":"U8","shape":[],"shape":[],"data_offsets":[0,1]}})", 1),
              HasSubstr("shape appears twice"));
  EXPECT_THAT(refusal(R"({"a":{"dtype":"U8","data_offsets":[0,1],"data_offsets":[0,1]}})", 1),
              HasSubstr("data_offsets appears twice"));
}

TEST(Metadata, MapsStringsToStrings) {
  const auto header = parse(R"({"__metadata__":{"format":"pt","":""}})");
  EXPECT_EQ(header.metadata, (TensorMetadata{{"", ""}, {"format", "pt"}}));
  EXPECT_TRUE(parse(R"({"__metadata__":null})").metadata.empty());
  for (const char* value : {"1", "-1", "1.5", "true", "null", "[]", "{}"})
    EXPECT_THAT(refusal(std::string(R"({"__metadata__":{"k":)") + value + "}}"),
                AllOf(HasSubstr("__metadata__ key \"k\" is "), HasSubstr("must be strings")));
  for (const char* value : {"1", "[]", "\"x\"", "false"})
    EXPECT_THAT(refusal(std::string(R"({"__metadata__":)") + value + "}"),
                HasSubstr("but must be an object"));
}

TEST(Fields, AreComplete) {
  EXPECT_THAT(refusal(R"({"a":{"shape":[],"data_offsets":[0,1]}})", 1),
              HasSubstr("tensor \"a\": dtype is missing"));
  EXPECT_THAT(refusal(R"({"a":{"dtype":"U8","data_offsets":[0,1]}})", 1),
              HasSubstr("shape is missing"));
  EXPECT_THAT(refusal(R"({"a":{"dtype":"U8","shape":[]}})"), HasSubstr("data_offsets is missing"));
  for (const char* value : {"null", "5", "[]", "\"F32\"", "true"})
    EXPECT_THAT(refusal(std::string(R"({"a":)") + value + "}"), HasSubstr("but must be an object"));
  EXPECT_THAT(parse(R"({"a":{"x":{"dtype":[1,{}]},"dtype":"U8","y":null,"y":-1.5,"z":[],)"
                    R"("shape":[],"data_offsets":[0,1],"w":"s"}})",
                    1)
                  .tensors,
              SizeIs(1));  // fields of later versions are skipped
}

TEST(Types, OfFieldsAreChecked) {
  for (const char* dtype : {"F8_E4M3", "F8_E5M2", "F4", "C64", "F6_E2M3"})
    EXPECT_THAT(refusal("{" + tensor("a", dtype, "[0]", "[0,0]") + "}"),
                HasSubstr(std::string("dtype \"") + dtype + "\" is not supported"));
  for (const char* dtype : {"f32", "F31", "", "float"})
    EXPECT_THAT(refusal("{" + tensor("a", dtype, "[0]", "[0,0]") + "}"), HasSubstr("is unknown"));
  EXPECT_THAT(refusal(R"({"a":{"dtype":4}})"), HasSubstr("dtype is 4, but must be a string"));
  EXPECT_THAT(refusal(R"({"a":{"dtype":{}}})"), HasSubstr("dtype is an object"));
  EXPECT_THAT(refusal(R"({"a":{"shape":4}})"), HasSubstr("shape is 4, but must be an array"));
  EXPECT_THAT(refusal(R"({"a":{"shape":null}})"), HasSubstr("shape is null"));
  EXPECT_THAT(refusal(R"({"a":{"data_offsets":{}}})"), HasSubstr("data_offsets is an object"));
}

TEST(Shapes, HoldIntegersThatFit) {
  for (const char* dim : {"-1", "1.0", "1e2", "\"1\"", "null", "[1]", "{}", "true", "-0",
                          "9223372036854775808", "18446744073709551616", "1e300"})
    EXPECT_THAT(refusal("{" + tensor("a", "U8", std::string("[") + dim + "]", "[0,0]") + "}"),
                HasSubstr("tensor \"a\": shape holds "))
        << dim;
  const auto overflow = HasSubstr("overflows 64 bits");
  EXPECT_THAT(refusal("{" + tensor("a", "I32", "[2,9223372036854775807]", "[0,16]") + "}", 16),
              overflow);
  EXPECT_THAT(refusal("{" + tensor("a", "U8", "[4294967296,4294967296]", "[0,0]") + "}"), overflow);
  EXPECT_THAT(refusal("{" + tensor("a", "U8", "[4294967296,4294967296,0]", "[0,0]") + "}"),
              overflow);
  EXPECT_THAT(refusal("{" + tensor("a", "F64", "[2305843009213693952]", "[0,0]") + "}"), overflow);
  const auto empty = parse("{" + tensor("a", "U8", "[0,9223372036854775807]", "[0,0]") + "}");
  EXPECT_EQ(empty.tensors[0].size, 0u);
  EXPECT_EQ(parse("{" + tensor("a", "F64", "[]", "[0,8]") + "}", 8).tensors[0].size, 8u);
  EXPECT_EQ(parse("{" + tensor("a", "I32", "[2,0]", "[0,0]") + "}").tensors[0].size, 0u);
  std::string ones = "[1";
  for (int i = 1; i < 64; ++i) ones += ",1";
  EXPECT_THAT(parse("{" + tensor("a", "U8", ones + "]", "[0,1]") + "}", 1).tensors, SizeIs(1));
  EXPECT_THAT(refusal("{" + tensor("a", "U8", ones + ",1]", "[0,1]") + "}", 1),
              HasSubstr("more than 64 dimensions"));
}

TEST(Offsets, AreTwoIntegersInOrderThatMatchTheShape) {
  const auto with = [](const std::string& offsets) {
    return refusal("{" + tensor("a", "F32", "[2]", offsets) + "}", 8);
  };
  EXPECT_THAT(with("[0]"), HasSubstr("data_offsets hold 1 numbers, but must be two"));
  EXPECT_THAT(with("[]"), HasSubstr("data_offsets hold 0 numbers"));
  EXPECT_THAT(with("[0,8,8]"), HasSubstr("more than two numbers"));
  EXPECT_THAT(with("[8,0]"), HasSubstr("end at byte 0, before their begin at byte 8"));
  for (const char* offsets :
       {"[-8,0]", "[0,8.0]", "[0,\"8\"]", "[[0,8]]", "[0,18446744073709551616]"})
    EXPECT_THAT(with(offsets), HasSubstr("tensor \"a\": data_offsets hold ")) << offsets;
  EXPECT_THAT(with("[0,4]"), HasSubstr("span 4 bytes, but F32 of shape [2] takes 8"));
  EXPECT_THAT(with("[0,18446744073709551615]"), HasSubstr("span 18446744073709551615 bytes"));
  EXPECT_THAT(with("[18446744073709551607,18446744073709551615]"), HasSubstr("a hole is not"));
}

TEST(Coverage, IsExact) {
  const auto two = [](const char* a, const char* b) {
    return "{" + tensor("b", "U8", "[4]", b) + "," + tensor("a", "U8", "[4]", a) + "}";
  };
  const auto header = parse(two("[0,4]", "[4,8]"), 8);
  EXPECT_EQ(header.tensors[0].name, "a");  // in offset order, whatever the header's
  EXPECT_EQ(header.find("b")->offset, 4u);
  EXPECT_THAT(refusal(two("[0,4]", "[2,6]"), 6),
              HasSubstr("tensor \"b\" begins at data byte 2, but must begin at 4"));
  EXPECT_THAT(refusal(two("[0,4]", "[0,4]"), 4), HasSubstr("overlap is not allowed"));
  EXPECT_THAT(refusal(two("[0,4]", "[5,9]"), 9), HasSubstr("a hole is not allowed"));
  EXPECT_THAT(refusal(two("[1,5]", "[5,9]"), 9), HasSubstr("must begin at 0"));
  EXPECT_THAT(refusal(two("[0,4]", "[4,8]"), 7),
              HasSubstr("holds 7 bytes of data, but its header declares 8"));
  EXPECT_THAT(refusal(two("[0,4]", "[4,8]"), 9),
              HasSubstr("holds 9 bytes of data, but its header declares 8"));
  EXPECT_THAT(refusal("{}", 1), HasSubstr("holds 1 bytes of data, but its header declares 0"));
  const auto empties =
      parse("{" + tensor("y", "U8", "[0]", "[4,4]") + "," + tensor("x", "U8", "[4]", "[0,4]") +
                "," + tensor("z", "U8", "[0]", "[0,0]") + "}",
            4);
  EXPECT_THAT(empties.tensors, SizeIs(3));
  EXPECT_THAT(refusal("{" + tensor("x", "U8", "[4]", "[0,4]") + "," +
                          tensor("y", "U8", "[0]", "[2,2]") + "}",
                      4),
              HasSubstr("overlap"));  // even an empty tensor may not lie inside another
}

TEST(Size, AMillionTensorsAreRead) {
  std::string json = "{";
  for (int i = 0; i < 1'000'000; ++i) {
    if (i > 0) json += ',';
    json += tensor(std::to_string(i), "U8", "[1]",
                   "[" + std::to_string(i) + "," + std::to_string(i + 1) + "]");
  }
  const auto header = parse(json + "}", 1'000'000);
  EXPECT_THAT(header.tensors, SizeIs(1'000'000));
  EXPECT_EQ(header.find("765432")->offset, 765'432u);
}

TEST(Size, HugeNamesAndListsDoNotFillMessagesOrMemory) {
  const std::string name(4'000'000, 'n');
  EXPECT_THAT(refusal("{\"" + name + "\":5}"), HasSubstr("nnn\"... is 5"));
  EXPECT_THAT(refusal("{" + tensor("a", name, "[]", "[0,1]") + "}", 1), HasSubstr("is unknown"));
  EXPECT_THAT(refusal("{\"a\":{\"dtype\":" + std::string(200, '1') + "}}"),
              HasSubstr("dtype is 1111111111111111111111111111111111111111, but"));
  EXPECT_THAT(refusal(R"({"__metadata__":{"k":"\u0001)" + name + "\",\"k\":\"\"}}"),
              HasSubstr("appears twice"));
  std::string shape = "[0";
  for (int i = 0; i < 1'000'000; ++i) shape += ",0";
  EXPECT_THAT(refusal("{" + tensor("a", "U8", shape + "]", "[0,0]") + "}"),
              HasSubstr("more than 64 dimensions"));
  std::string metadata = "{\"__metadata__\":{\"\":\"\"";
  for (int i = 0; i < 1'000'001; ++i) metadata += ",\"" + std::to_string(i) + "\":\"\"";
  EXPECT_THAT(refusal(metadata + "}}"), HasSubstr("more than 1000000 keys"));
}

}  // namespace
}  // namespace fathom
