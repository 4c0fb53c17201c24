import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.lang.reflect.Method;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HexFormat;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;

import org.agrona.DirectBuffer;
import org.agrona.MutableDirectBuffer;
import org.agrona.concurrent.UnsafeBuffer;

/**
 * Puts the generated Java codecs at the other end of a pipe, so that they can be compared with the Rust ones. A line is
 * "decode PACKAGE MESSAGE HEX", answered with "field=value field=value …", or
 * "encode PACKAGE MESSAGE field=value …", answered with HEX. Fields are in lower case and in the order of the schema;
 * a value is a number, the name of an enumerated value, "null", or numbers separated by commas.
 */
public final class Bridge
{
    public static void main(final String[] args) throws Exception
    {
        final BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        final StringBuilder out = new StringBuilder();
        for (String line = in.readLine(); line != null; line = in.readLine())
        {
            final String[] words = line.split(" ");
            final String type = words[1] + "." + words[2];
            switch (words[0])
            {
                case "decode" -> out.append(decode(words[1], type, HexFormat.of().parseHex(words[3])));
                case "encode" -> out.append(encode(words[1], type, words));
                default -> throw new IllegalArgumentException(line);
            }
            out.append('\n');
        }
        System.out.print(out);
    }

    private static String decode(final String pkg, final String type, final byte[] bytes) throws Exception
    {
        final Class<?> headerClass = Class.forName(pkg + ".MessageHeaderDecoder");
        final Object header = headerClass.getConstructor().newInstance();
        final Object decoder = Class.forName(type + "Decoder").getConstructor().newInstance();
        decoder.getClass().getMethod("wrapAndApplyHeader", DirectBuffer.class, int.class, headerClass)
            .invoke(decoder, new UnsafeBuffer(bytes), 0, header);
        final List<String> fields = new ArrayList<>();
        for (final String field : fields(decoder.getClass()))
        {
            fields.add(field.toLowerCase(Locale.ROOT) + "=" + value(decoder, field));
        }
        final int size = (int)get(header, "encodedLength") + (int)get(decoder, "encodedLength");
        if (size != bytes.length)
        {
            throw new IllegalStateException(type + " has " + size + " bytes, not " + bytes.length);
        }
        return String.join(" ", fields);
    }

    private static String encode(final String pkg, final String type, final String[] words) throws Exception
    {
        final Class<?> headerClass = Class.forName(pkg + ".MessageHeaderEncoder");
        final Object header = headerClass.getConstructor().newInstance();
        final Class<?> encoderClass = Class.forName(type + "Encoder");
        final Object encoder = encoderClass.getConstructor().newInstance();
        final byte[] bytes = new byte[256];
        encoderClass.getMethod("wrapAndApplyHeader", MutableDirectBuffer.class, int.class, headerClass)
            .invoke(encoder, new UnsafeBuffer(bytes), 0, header);
        final Map<String, String> values = new TreeMap<>();
        for (int i = 3; i < words.length; i++)
        {
            final int equals = words[i].indexOf('=');
            values.put(words[i].substring(0, equals), words[i].substring(equals + 1));
        }
        for (final String field : fields(encoderClass))
        {
            final String value = values.remove(field.toLowerCase(Locale.ROOT));
            put(encoder, field, value);
        }
        if (!values.isEmpty())
        {
            throw new IllegalArgumentException(type + " has no " + values.keySet());
        }
        final int size = (int)get(header, "encodedLength") + (int)get(encoder, "encodedLength");
        return HexFormat.of().formatHex(bytes, 0, size);
    }

    /** Names of the fields, in the order of their offsets. */
    private static List<String> fields(final Class<?> codec)
    {
        final List<String> fields = new ArrayList<>();
        for (final Method method : codec.getDeclaredMethods())
        {
            final String name = method.getName();
            if (name.endsWith("EncodingOffset") && method.getParameterCount() == 0)
            {
                fields.add(name.substring(0, name.length() - "EncodingOffset".length()));
            }
        }
        fields.sort(Comparator.comparing(field -> (Integer)unchecked(codec, field + "EncodingOffset")));
        return fields;
    }

    private static String value(final Object decoder, final String field) throws Exception
    {
        final Class<?> codec = decoder.getClass();
        if (isArray(codec, field))
        {
            final Method at = codec.getMethod(field, int.class);
            final List<String> items = new ArrayList<>();
            for (int i = 0; i < (Integer)unchecked(codec, field + "Length"); i++)
            {
                items.add(at.invoke(decoder, i).toString());
            }
            return String.join(",", items);
        }
        final Object value = get(decoder, field);
        if (value instanceof Enum<?>)
        {
            return ((Enum<?>)value).name();
        }
        if (isOptional(codec, field) && value.equals(unchecked(codec, field + "NullValue")))
        {
            return "null";
        }
        return isUnsigned64(codec, field) ? Long.toUnsignedString((Long)value) : value.toString();
    }

    private static void put(final Object encoder, final String field, final String text) throws Exception
    {
        final Class<?> codec = encoder.getClass();
        if (isArray(codec, field))
        {
            final String[] items = text.split(",");
            for (final Method method : codec.getMethods())
            {
                if (method.getName().equals(field) && method.getParameterCount() == 2 && method.getParameterTypes()[0] == int.class)
                {
                    for (int i = 0; i < items.length; i++)
                    {
                        method.invoke(encoder, i, number(items[i], method.getParameterTypes()[1]));
                    }
                }
            }
            return;
        }
        for (final Method method : codec.getDeclaredMethods())
        {
            if (!method.getName().equals(field) || method.getParameterCount() != 1)
            {
                continue;
            }
            final Class<?> type = method.getParameterTypes()[0];
            if (type.isEnum())
            {
                method.invoke(encoder, type.getMethod("valueOf", String.class).invoke(null, text));
            }
            else if (text.equals("null"))
            {
                method.invoke(encoder, unchecked(codec, field + "NullValue"));
            }
            else
            {
                method.invoke(encoder, isUnsigned64(codec, field) ? (Object)Long.parseUnsignedLong(text) : number(text, type));
            }
        }
    }

    private static Object number(final String text, final Class<?> type)
    {
        final long value = Long.parseLong(text);
        if (type == byte.class)
        {
            return (byte)value;
        }
        if (type == short.class)
        {
            return (short)value;
        }
        return type == int.class ? (Object)(int)value : (Object)value;
    }

    private static boolean isArray(final Class<?> codec, final String field)
    {
        return has(codec, field + "Length");
    }

    private static boolean isUnsigned64(final Class<?> codec, final String field)
    {
        return (Integer)unchecked(codec, field + "EncodingLength") == 8 && has(codec, field + "MinValue") &&
            unchecked(codec, field + "MinValue").equals(0L);
    }

    private static boolean isOptional(final Class<?> codec, final String field) throws Exception
    {
        for (final Method method : codec.getDeclaredMethods())
        {
            if (method.getName().equals(field + "MetaAttribute"))
            {
                final Class<?> attribute = method.getParameterTypes()[0];
                final Object presence = attribute.getMethod("valueOf", String.class).invoke(null, "PRESENCE");
                return method.invoke(null, presence).equals("optional");
            }
        }
        return false;
    }

    private static boolean has(final Class<?> codec, final String method)
    {
        try
        {
            codec.getDeclaredMethod(method);
            return true;
        }
        catch (final NoSuchMethodException ex)
        {
            return false;
        }
    }

    private static Object get(final Object object, final String method) throws Exception
    {
        return object.getClass().getMethod(method).invoke(object);
    }

    private static Object unchecked(final Class<?> codec, final String method)
    {
        try
        {
            return codec.getDeclaredMethod(method).invoke(null);
        }
        catch (final ReflectiveOperationException ex)
        {
            throw new IllegalStateException(codec.getName() + "." + method, ex);
        }
    }
}
