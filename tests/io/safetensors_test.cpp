// What is written is what the format says, byte for byte, and is read back as it was.
#include "fathom/io/safetensors.h"

#include <gmock/gmock.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <cstring>
#include <numeric>
#include <string>
#include <vector>

#include "io/temp_folder.h"

namespace fathom {
namespace {

using ::testing::ElementsAre;
using testing::error_of;
using ::testing::HasSubstr;
using testing::slurp;
using testing::TempFolder;

std::string text_of(Span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

const std::vector<Dtype> kAllDtypes = {Dtype::BOOL, Dtype::U8,   Dtype::I8,  Dtype::I16, Dtype::U16,
                                       Dtype::F16,  Dtype::BF16, Dtype::I32, Dtype::U32, Dtype::F32,
                                       Dtype::F64,  Dtype::I64,  Dtype::U64};

TEST(Dtype, NamesAndSizes) {
  for (const Dtype dtype : kAllDtypes) EXPECT_EQ(dtype_from_name(dtype_name(dtype)), dtype);
  EXPECT_EQ(dtype_name(Dtype::BF16), "BF16");
  EXPECT_EQ(dtype_size(Dtype::BOOL), 1u);
  EXPECT_EQ(dtype_size(Dtype::BF16), 2u);
  EXPECT_EQ(dtype_size(Dtype::F32), 4u);
  EXPECT_EQ(dtype_size(Dtype::U64), 8u);
  EXPECT_EQ(dtype_from_name("F8_E4M3"), std::nullopt);
  EXPECT_EQ(dtype_from_name("f32"), std::nullopt);
}

// By hand from the format's description: metadata first, larger elements first, then by name, no
// blanks, spaces up to a multiple of 8.
TEST(WriteSafetensors, ByteForByte) {
  TempFolder folder;
  write_safetensors(folder / "m",
                    {{"b", Dtype::U8, {3}, as_bytes("xyz")},
                     {"w2", Dtype::F32, {}, as_bytes("EFGH")},
                     {"w\"1\n\xC3\xA9", Dtype::F32, {1, 1}, as_bytes("ABCD")},
                     {"n", Dtype::I64, {2, 0}, {}}},
                    {{"format", "pt"}, {"a", "\x01\x7F/"}});
  std::string json = R"({"__metadata__":{"a":"\u0001)"
                     "\x7F"
                     R"(/","format":"pt"},)"
                     R"("n":{"dtype":"I64","shape":[2,0],"data_offsets":[0,0]},)"
                     R"("w\"1\n)"
                     "\xC3\xA9"
                     R"(":{"dtype":"F32","shape":[1,1],"data_offsets":[0,4]},)"
                     R"("w2":{"dtype":"F32","shape":[],"data_offsets":[4,8]},)"
                     R"("b":{"dtype":"U8","shape":[3],"data_offsets":[8,11]}})";
  while (json.size() % 8 != 0) json += ' ';
  const std::string length = {
      static_cast<char>(json.size() % 256), static_cast<char>(json.size() / 256), 0, 0, 0, 0, 0, 0};
  EXPECT_EQ(slurp(folder / "m"), length + json + "ABCDEFGHxyz");
}

// The sample of the format's own documentation, as its reference writes it.
TEST(WriteSafetensors, TheReferencesOwnExample) {
  TempFolder folder;
  const std::string zeros(16, '\0');
  write_safetensors(folder / "m", {{"test", Dtype::I32, {2, 2}, as_bytes(zeros)}});
  EXPECT_EQ(slurp(folder / "m"),
            std::string("\x40\0\0\0\0\0\0\0", 8) +
                R"({"test":{"dtype":"I32","shape":[2,2],"data_offsets":[0,16]}}    )" + zeros);
  write_safetensors(folder / "m", {});
  EXPECT_EQ(slurp(folder / "m"), std::string("\x08\0\0\0\0\0\0\0{}      ", 16));
}

TEST(WriteSafetensors, RefusesWhatCouldNotBeRead) {
  TempFolder folder;
  const auto error = [&](const std::vector<TensorView>& tensors,
                         const TensorMetadata& metadata = {}) {
    const std::string message =
        error_of([&] { write_safetensors(folder / "m", tensors, metadata); });
    EXPECT_TRUE(folder.entries().empty());
    return message;
  };
  const TensorView a = {"a", Dtype::U8, {}, as_bytes("x")};
  EXPECT_THAT(error({a, {"b", Dtype::U8, {0}, {}}, a}), HasSubstr("two tensors are called \"a\""));
  EXPECT_THAT(error({{"a", Dtype::F32, {2}, as_bytes("1234")}}),
              HasSubstr("tensor \"a\" has 4 bytes, but F32 of shape [2] takes 8"));
  EXPECT_THAT(error({{"a", Dtype::F32, {-1}, {}}}), HasSubstr("impossible shape [-1]"));
  EXPECT_THAT(error({{"a", Dtype::F32, {int64_t{1} << 62, 2}, {}}}), HasSubstr("impossible shape"));
  EXPECT_THAT(error({{"a", Dtype::U8, std::vector<int64_t>(65, 1), as_bytes("x")}}),
              HasSubstr("impossible shape"));
  EXPECT_THAT(error({{"\xFF", Dtype::U8, {0}, {}}}), HasSubstr("\"\\xff\" is not valid UTF-8"));
  EXPECT_THAT(error({a}, {{"key", "\xC0\x80"}}), HasSubstr("is not valid UTF-8"));
  EXPECT_THAT(error({{"__metadata__", Dtype::U8, {0}, {}}}), HasSubstr("no tensor may be called"));
  EXPECT_THAT(error({a}, {{"big", std::string(kMaxHeaderBytes, 'x')}}),
              HasSubstr("the format allows 100000000"));
}

// A tensor may be made when its turn comes, and in pieces.
TEST(WriteSafetensors, MadeTensorsGiveTheSameFile) {
  TempFolder folder;
  write_safetensors(folder / "m", {{"b", Dtype::U8, {4}, as_bytes("bbcc")},
                                   {"a", Dtype::F16, {1}, as_bytes("aa")}});
  std::string turns;
  write_made_safetensors(folder / "n", {{"b",
                                         Dtype::U8,
                                         {4},
                                         [&](const auto& give) {
                                           turns += "b";
                                           give(as_bytes("bb"));
                                           give(as_bytes("cc"));
                                         }},
                                        {"a", Dtype::F16, {1}, [&](const auto& give) {
                                           turns += "a";
                                           give(as_bytes("aa"));
                                         }}});
  EXPECT_EQ(slurp(folder / "n"), slurp(folder / "m"));
  EXPECT_EQ(turns, "ab") << "in the order of the file";

  const auto make = [](std::string_view bytes) {
    return [=](const auto& give) { give(as_bytes(bytes)); };
  };
  EXPECT_THAT(error_of([&] {
                write_made_safetensors(folder / "o", {{"a", Dtype::U8, {3}, make("aa")}});
              }),
              HasSubstr("tensor \"a\" has 2 bytes, but U8 of shape [3] takes 3"));
  EXPECT_THAT(folder.entries(), ::testing::ElementsAre("m", "n"));
}

TEST(SafetensorsFile, FindsTensorsByName) {
  TempFolder folder;
  write_safetensors(folder / "m", {{"b", Dtype::U8, {2}, as_bytes("bb")},
                                   {"a", Dtype::F16, {1}, as_bytes("aa")},
                                   {"c", Dtype::U8, {0}, {}}});
  const SafetensorsFile file = SafetensorsFile::open(folder / "m");
  ASSERT_EQ(file.tensors().size(), 3u);
  EXPECT_EQ(file.tensors()[0].name, "a");
  EXPECT_EQ(file.tensors()[1].name, "b");
  ASSERT_NE(file.find("b"), nullptr);
  EXPECT_EQ(text_of(file.bytes(*file.find("b"))), "bb");
  EXPECT_EQ(text_of(file.bytes(*file.find("c"))), "");
  EXPECT_EQ(file.find("d"), nullptr);
  EXPECT_EQ(file.find(""), nullptr);
}

// Saving over a file whose tensors are still mapped must neither crash nor lose them.
TEST(SafetensorsFile, CanBeSavedOverItself) {
  TempFolder folder;
  std::string data(3 << 20, '\0');
  std::iota(data.begin(), data.end(), char{0});
  write_safetensors(folder / "m", {{"w", Dtype::U8, {3 << 20}, as_bytes(data)}});
  {
    const SafetensorsFile file = SafetensorsFile::open(folder / "m");
    const TensorInfo& w = *file.find("w");
    write_safetensors(folder / "m", {{w.name, w.dtype, w.shape, file.bytes(w)}});
    EXPECT_EQ(text_of(file.bytes(w)), data);
  }
  const SafetensorsFile file = SafetensorsFile::open(folder / "m");
  EXPECT_EQ(text_of(file.bytes(*file.find("w"))), data);
}

TEST(SafetensorsFile, ErrorsNameTheFile) {
  TempFolder folder;
  testing::spill(folder / "m", "short");
  EXPECT_THAT(error_of([&] { SafetensorsFile::open(folder / "m"); }),
              HasSubstr(folder / "m: the file has 5 bytes"));
  EXPECT_THAT(error_of([&] { SafetensorsFile::open(folder / "none"); }), HasSubstr("No such file"));
}

struct Drawn {
  std::vector<TensorView> views;
  std::vector<std::string> data;
  TensorMetadata metadata;
};

// Any valid Unicode text, so that escapes and lengths in bytes are met.
rc::Gen<std::string> any_text() {
  return rc::gen::map(
      rc::gen::container<std::vector<uint32_t>>(rc::gen::inRange<uint32_t>(0, 0x500)),
      [](const std::vector<uint32_t>& points) {
        std::string text;
        for (const uint32_t p : points) {
          if (p >= 0x80) text += static_cast<char>(0xC0 | p >> 6);
          text += static_cast<char>(p >= 0x80 ? 0x80 | (p & 0x3F) : p);
        }
        return text;
      });
}

void draw(Drawn& drawn) {
  const auto names = *rc::gen::unique<std::vector<std::string>>(any_text());
  drawn.metadata = *rc::gen::container<TensorMetadata>(any_text(), any_text());
  for (const std::string& name : names) {
    RC_PRE(name != "__metadata__");
    TensorView view;
    view.name = name;
    view.dtype = *rc::gen::elementOf(kAllDtypes);
    const auto rank = *rc::gen::inRange<size_t>(0, 5);
    view.shape = *rc::gen::container<std::vector<int64_t>>(rank, rc::gen::inRange<int64_t>(0, 5));
    drawn.data.emplace_back(*tensor_bytes(view.dtype, view.shape), '\0');
    for (char& c : drawn.data.back()) c = static_cast<char>(name.size() + drawn.data.size());
    drawn.views.push_back(view);
  }
  for (size_t i = 0; i < names.size(); ++i) drawn.views[i].bytes = as_bytes(drawn.data[i]);
}

RC_GTEST_PROP(SafetensorsFile, RoundTrip, ()) {
  TempFolder folder;
  Drawn drawn;
  draw(drawn);
  write_safetensors(folder / "m", drawn.views, drawn.metadata);
  const SafetensorsFile file = SafetensorsFile::open(folder / "m");
  RC_ASSERT(file.metadata() == drawn.metadata);
  RC_ASSERT(file.tensors().size() == drawn.views.size());
  for (const TensorView& view : drawn.views) {
    const TensorInfo* info = file.find(view.name);
    RC_ASSERT(info != nullptr);
    RC_ASSERT(info->dtype == view.dtype);
    RC_ASSERT(info->shape == view.shape);
    RC_ASSERT(text_of(file.bytes(*info)) == text_of(view.bytes));
    const auto address = reinterpret_cast<uintptr_t>(file.bytes(*info).data());
    RC_ASSERT(view.bytes.empty() || address % dtype_size(view.dtype) == 0);
  }
}

// Damaged at one byte, a file is refused with an Error or read as another valid one: the tensors
// cover its data exactly. Nothing else may happen.
RC_GTEST_PROP(SafetensorsFile, AnyDamageIsRefusedOrHarmless, ()) {
  TempFolder folder;
  Drawn drawn;
  draw(drawn);
  write_safetensors(folder / "m", drawn.views, drawn.metadata);
  std::string text = slurp(folder / "m");
  const auto at = *rc::gen::inRange<size_t>(0, text.size());
  if (*rc::gen::arbitrary<bool>()) {
    text[at] = *rc::gen::arbitrary<char>();
  } else {
    text.resize(at);
  }
  try {
    const SafetensorsHeader header = parse_safetensors(as_bytes(text), "m");
    uint64_t end = 0;
    for (const TensorInfo& tensor : header.tensors) {
      RC_ASSERT(tensor.offset == end);
      RC_ASSERT(tensor_bytes(tensor.dtype, tensor.shape) == tensor.size);
      end += tensor.size;
    }
    RC_ASSERT(header.data_begin + end == text.size());
  } catch (const Error& error) {
    RC_ASSERT(std::string(error.what()).rfind("m: ", 0) == 0);
  }
}

}  // namespace
}  // namespace fathom
