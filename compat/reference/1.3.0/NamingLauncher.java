import java.lang.reflect.InvocationHandler;
import java.lang.reflect.Proxy;

import org.springframework.boot.SpringApplication;
import org.springframework.boot.context.event.ApplicationReadyEvent;
import org.springframework.context.ApplicationContext;
import org.springframework.context.ApplicationListener;

/**
 * Main class for the naming module of Nacos 1.3.0, which does not start by itself.
 *
 * Two things belong to the console module, of which no 1.3.0 was published: the bean that checks permissions, and the
 * call that tells the request filter which methods serve which path. Both are supplied here. Classes of Nacos are
 * looked up by name, so that this file compiles against Spring alone.
 */
public final class NamingLauncher {

    private static final String CONTROLLERS = "com.alibaba.nacos.naming.controllers";

    private NamingLauncher() {
    }

    public static void main(String[] args) throws ClassNotFoundException {
        Class<?> permissions = Class.forName("com.alibaba.nacos.core.auth.AuthManager");
        Class<?> pathTable = Class.forName("com.alibaba.nacos.core.code.ControllerMethodsCache");

        SpringApplication naming = new SpringApplication(Class.forName("com.alibaba.nacos.naming.NamingApp"));
        naming.addInitializers(context ->
                context.getBeanFactory().registerSingleton("permissions", everythingAllowed(permissions)));
        naming.addListeners((ApplicationListener<ApplicationReadyEvent>) ready ->
                fill(pathTable, ready.getApplicationContext()));
        naming.run(args);
    }

    /** An object whose every method returns nothing, which the filter takes for consent. */
    private static Object everythingAllowed(Class<?> type) {
        InvocationHandler handler = (proxy, method, arguments) -> {
            switch (method.getName()) {
                case "equals":
                    return proxy == arguments[0];
                case "hashCode":
                    return System.identityHashCode(proxy);
                case "toString":
                    return "everythingAllowed";
                default:
                    return null;
            }
        };
        return Proxy.newProxyInstance(type.getClassLoader(), new Class<?>[] {type}, handler);
    }

    private static void fill(Class<?> pathTable, ApplicationContext context) {
        try {
            pathTable.getMethod("initClassMethod", String.class).invoke(context.getBean(pathTable), CONTROLLERS);
        } catch (ReflectiveOperationException failure) {
            throw new IllegalStateException("cannot register the naming controllers", failure);
        }
    }
}
