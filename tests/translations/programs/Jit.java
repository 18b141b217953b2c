import java.util.*;
import java.util.concurrent.*;
import java.util.stream.*;

public class Jit {
    interface Shape { double area(); }
    record Circle(double r) implements Shape { public double area() { return Math.PI * r * r; } }
    record Square(double a) implements Shape { public double area() { return a * a; } }

    static int mix(int[] memory, int round) {
        for (int i = 1; i < memory.length; i++) memory[i] = memory[i - 1] * 31 + i + round;
        return memory[memory.length - 1];
    }

    public static void main(String[] args) throws Exception {
        int[] memory = new int[4096];
        int last = 0;
        for (int round = 0; round < 1500; round++) last = mix(memory, round);
        System.out.println(last + " " + Arrays.hashCode(memory));
        List<Shape> shapes = new ArrayList<>();
        double area = 0;
        for (int i = 0; i < 20000; i++) {
            shapes.add(i < 15000 ? new Circle(i) : new Square(i));
            area += shapes.get(i).area();
        }
        System.out.println(area);
        int caught = 0;
        for (int i = 0; i < 20000; i++) {
            try {
                Object o = i % 1000 == 999 ? null : shapes.get(i);
                caught += o.hashCode() == 0 ? 1 : 0;
            } catch (NullPointerException e) {
                caught += 100;
            }
        }
        System.out.println(caught / 100);
        ExecutorService pool = Executors.newFixedThreadPool(4);
        List<Future<Long>> futures = new ArrayList<>();
        for (int i = 0; i < 8; i++) {
            final int seed = i;
            futures.add(pool.submit(() -> LongStream.range(0, 20000).map(n -> n * seed % 1009).sum()));
        }
        for (Future<Long> future : futures) System.out.print(future.get() + " ");
        pool.shutdown();
        System.out.println();
        try { deep(0); } catch (StackOverflowError e) { System.out.println("overflow"); }
    }

    static int deep(int n) { return deep(n + 1) + 1; }
}
